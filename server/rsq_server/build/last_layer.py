"""Fine-tuning of the projection after quantization: its last linear layer learns to give FP32's
embeddings back from what the quantized trunk makes of the calibration inputs.

The layer is linear, so the best one needs no steps and no learning rate: with h [n, K + 1] the
layer's inputs and a 1, and r [n, N] what the tower misses of FP32's outputs, its change is ridge
regression's, (h'h + lambda I)^-1 h'r, which stays at zero where the inputs say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rsq_server.build.linears import Linear, find_sites

# Of the calibration items, the share that judges and is not learned from.
HELD_OUT = 0.25
LEAST_GAIN = 1e-8  # in cosine; below it is rounding
# Lambda as a share of the mean of h'h's diagonal; the best of these on the held-out items is taken.
RIDGE_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Fit:
    """The change of the matrix [K, N] and bias [N] of `layer`, and the mean cosine to FP32 of the
    held-out items before and after it."""

    layer: str

    matrix: NDArray[np.float32]
    bias: NDArray[np.float32]
    before: float
    after: float

    @property
    def improves(self) -> bool:
        return self.after > self.before


def find_last_layer(graph: ir.Graph) -> Linear | None:
    """The linear layer whose result is the graph's output, or is added to a residual that is; None
    where the tower ends otherwise."""
    (output,) = graph.outputs
    producer = output.producer()
    ends = {output}
    if producer is not None and producer.op_type == "Add":
        ends.update(value for value in producer.inputs if value is not None)
    for site in find_sites(graph):
        for linear in site.linears:
            if linear.output in ends and linear.bias is not None:
                return linear
    return None


def fit_last_layer(
    layer: str,
    inputs: NDArray[np.float32],
    outputs: NDArray[np.float32],
    expected: NDArray[np.float32],
) -> Fit:
    """`inputs` float32 [n, K] of the last layer and `outputs` [n, N] of the quantized tower, and
    FP32's outputs `expected` [n, N], none of them normalised."""
    split = max(1, round(len(inputs) * (1 - HELD_OUT)))
    learned, judged = slice(split), slice(split, None)
    rows = np.hstack([inputs, np.ones((len(inputs), 1), np.float32)]).astype(np.float64)
    missing = (expected - outputs).astype(np.float64)
    moment = rows[learned].T @ rows[learned]
    target = rows[learned].T @ missing[learned]
    before = _mean_cosine(outputs[judged], expected[judged])
    best, after = np.zeros((rows.shape[1], missing.shape[1])), before
    for strength in RIDGE_STRENGTHS:
        damped = moment + np.eye(len(moment)) * strength * np.diag(moment).mean()
        change = np.linalg.solve(damped, target)
        agreement = _mean_cosine(outputs[judged] + rows[judged] @ change, expected[judged])
        if agreement > after + LEAST_GAIN:
            best, after = change, agreement
    return Fit(layer, best[:-1].astype(np.float32), best[-1].astype(np.float32), before, after)


def _mean_cosine(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    left, right = left.astype(np.float64), right.astype(np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / norms).mean())
