"""SmoothQuant: loud channels move from the activations into the weights, before quantization.

For a site whose channel k has magnitude a_k and whose weights have magnitude w_k in row k,
x_k is divided and row k multiplied by d_k = a_k^alpha / w_k^(1-alpha) (Xiao et al. 2022,
arXiv:2211.10438). The division costs nothing while running: it goes into the gain and bias of the
norm before the site, or into the columns of the value projection before an attention's output.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rsq_server.build.linears import (
    Linear,
    Site,
    find_sites,
    read_array,
    replace_input,
    replace_matrix,
)

# Channels quieter than this share of the loudest are treated as if they were that loud, so that no
# factor explodes.
_QUIETEST = 1e-5

Factors = dict[str, NDArray[np.float32]]


def smooth(
    model: ir.Model, magnitudes: Mapping[str, NDArray[np.float32]], *, alpha: float
) -> Factors:
    """Folds the factors into `model` in place and returns them by site name: what each channel of
    the site's activation was divided by, float32 [width].

    `magnitudes` holds the largest magnitude of each channel, by site name. Sites that follow an
    activation function, or a value that others read too, stay as they are.
    """
    graph = model.graph
    sites = find_sites(graph)
    values = _value_projections(sites)
    factors: Factors = {}
    for site in sites:
        if site.source == "norm" and _feeds_only(site):
            found = _factors(site, magnitudes[site.name], alpha)
            _divide_norm(graph, site.value.producer(), found)
        elif site.source == "attention" and site.block in values:
            found = _factors(site, magnitudes[site.name], alpha)
            _scale_columns(graph, values[site.block], np.float32(1) / found)
        else:
            continue
        for linear in site.linears:
            _scale_rows(graph, linear, found)
        factors[site.name] = found
    return factors


def _factors(site: Site, magnitudes: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    rows = np.max([np.abs(linear.matrix()).max(axis=1) for linear in site.linears], axis=0)
    loud = np.maximum(magnitudes, _QUIETEST * magnitudes.max())
    heavy = np.maximum(rows, _QUIETEST * rows.max())
    found = loud**alpha / heavy ** (1 - alpha)
    # A common factor changes nothing; around 1 the norm's gains stay in their range.
    return np.asarray(found / np.exp(np.log(found).mean()), np.float32)


def _value_projections(sites: list[Site]) -> dict[str, Linear]:
    """The value projection of each block whose attention's output is read by one site."""
    return {
        site.block: linear
        for site in sites
        for linear in site.linears
        if linear.name.endswith((".v_proj.weight", "head.value.weight"))
    }


def _feeds_only(site: Site) -> bool:
    """Whether a norm's output goes to this site's layers alone."""
    producer = site.value.producer()
    readers = {linear.node for linear in site.linears}
    return (
        producer is not None
        and producer.op_type == "LayerNormalization"
        and all(user in readers for user in site.value.consumers())
        and not site.value.is_graph_output()
        and len(producer.inputs) == 3
    )


def _divide_norm(graph: ir.Graph, norm: ir.Node | None, factors: NDArray[np.float32]) -> None:
    assert norm is not None
    for index in (1, 2):
        value = norm.inputs[index]
        assert value is not None
        replace_input(graph, norm, index, read_array(value) / factors)


def _scale_columns(graph: ir.Graph, linear: Linear, by: NDArray[np.float32]) -> None:
    matrix = linear.matrix() * by
    replace_matrix(graph, linear, matrix)
    if linear.bias is not None:
        owner = linear.node if linear.node.op_type == "Gemm" else linear.output.producer()
        assert owner is not None
        index = list(owner.inputs).index(linear.bias)
        replace_input(graph, owner, index, read_array(linear.bias) * by)


def _scale_rows(graph: ir.Graph, linear: Linear, by: NDArray[np.float32]) -> None:
    replace_matrix(graph, linear, linear.matrix() * by[:, None])
