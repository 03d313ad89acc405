"""What a site costs on a CPU at each precision: a model, so that choices don't hang on timings.

A site's time is the sum of its products, of the passes over its activations and outputs, and of the
operators' own overhead. The rates were fitted by hand to the operators' times of SigLIP-base and
rsq-siglip-small on one thread of a core with AVX-512 VNNI (bench/bench_quantization.py measures
them); only their ratios matter.
"""

from __future__ import annotations

from rsq_server.build.linears import Site
from rsq_server.build.mixed import Precision

FLOAT_OPERATIONS_PER_MS = 200e6
INT8_OPERATIONS_PER_MS = 700e6
# Passes that quantizing adds for each element of the activation, and that scales and bias add for
# each element of the output, in nanoseconds.
TOKEN_INPUT_NS, TOKEN_OUTPUT_NS = 0.35, 0.4
WIDE_INPUT_NS, WIDE_OUTPUT_NS = 0.8, 0.6
FLOAT_OUTPUT_NS = 0.2
# Operators that a site, and each of its layers, adds, at this much each.
OPERATOR_MS = 0.001
_TOKEN_OPERATORS, _WIDE_OPERATORS = (10, 3), (16, 4)


def site_cost_ms(site: Site, rows: int, precision: Precision) -> float:
    """The time of `site` for one item, whose activation has `rows` rows."""
    width = site.width
    outputs = sum(int(linear.matrix().shape[1]) for linear in site.linears)
    operations = 2 * rows * width * outputs
    if precision == "float":
        return operations / FLOAT_OPERATIONS_PER_MS + rows * outputs * FLOAT_OUTPUT_NS / 1e6
    products = 1 if precision == "token" else 2
    input_ns, output_ns, (of_site, of_layer) = (
        (TOKEN_INPUT_NS, TOKEN_OUTPUT_NS, _TOKEN_OPERATORS)
        if precision == "token"
        else (WIDE_INPUT_NS, WIDE_OUTPUT_NS, _WIDE_OPERATORS)
    )
    passes_ms = rows * (width * input_ns + outputs * output_ns) / 1e6
    overhead_ms = OPERATOR_MS * (of_site + of_layer * len(site.linears))
    return products * operations / INT8_OPERATIONS_PER_MS + passes_ms + overhead_ms
