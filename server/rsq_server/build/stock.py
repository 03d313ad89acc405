"""ONNX Runtime's own dynamic quantization, for comparison: one activation scale for a whole batch.

Its vectors depend on their batch mates, so nodes run such an artifact one item at a time.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from rsq_server.build.external_data import GRAPH_NAME, open_model, save_model


def quantize_stock(folder: Path, out_folder: Path) -> None:
    """Writes the tower in `folder`, quantized with int8 weights by column, to `out_folder`."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    work = out_folder.with_name(f"{out_folder.name}-stock")
    work.mkdir(parents=True)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it advises preprocessing on the root logger
    try:
        quantize_dynamic(
            str(folder / GRAPH_NAME),
            str(work / GRAPH_NAME),
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
        )
    finally:
        logging.getLogger().setLevel(level)
    save_model(open_model(work), out_folder)
    shutil.rmtree(work)
