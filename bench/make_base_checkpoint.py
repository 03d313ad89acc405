"""Makes a checkpoint with random weights: `make_base_checkpoint.py OUT [--outliers] [--large]`.

The shape is SigLIP-base's, from RSQ_DATA's models/siglip-base-patch16-256-config, or with --large
that of the family's large member; the tokenizer comes from models/rsq-siglip-small. A few norm
gains are made loud, as training makes them, and with --outliers so loud that plain INT8 suffers;
accuracy on such weights is a hint, size and speed are real.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import SiglipConfig, SiglipModel

DATA = Path(os.environ.get("RSQ_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SEED = 0
LOUD_CHANNELS, LOUD_GAIN = 4, 8.0
# Gains of each norm, and of the layers that write to the residual, there the same channels in every
# block. Tuned to a mean cosine of about 0.9955 between the text tower in per-token INT8, rounded to
# the nearest, and FP32. Gains of 16 and more saturate the attention of random weights: a rounding
# error then turns a token to another one, which no trained model does.
OUTLIER_GAIN = 13.0
HEAVY_CHANNELS, HEAVY_GAIN = 4, 16.0
_WRITERS = ("out_proj.weight", "fc2.weight")
LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
}


def make_checkpoint(
    out: Path, *, outliers: bool = False, large: bool = False, layers: int | None = None
) -> None:
    """Writes a half-precision checkpoint in Hugging Face layout to `out`, with `layers` blocks in
    each tower where given."""
    shape = DATA / "models" / "siglip-base-patch16-256-config"
    tokenizer = DATA / "models" / "rsq-siglip-small"
    torch.manual_seed(SEED)
    model: Any = SiglipModel(_read_config(shape, large=large, layers=layers))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layer_norm" in name and name.endswith("weight"):
                gain = OUTLIER_GAIN if outliers else LOUD_GAIN
                weight[torch.randperm(len(weight))[:LOUD_CHANNELS]] = gain
        if outliers:
            _make_heavy(model)
    model.half().save_pretrained(out)
    shutil.copyfile(shape / "preprocessor_config.json", out / "preprocessor_config.json")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(tokenizer / name, out / name)


def _read_config(shape: Path, *, large: bool, layers: int | None) -> SiglipConfig:
    config: Any = SiglipConfig.from_pretrained(shape)
    changes: dict[str, Any] = dict(LARGE) if large else {}
    if layers is not None:
        changes["num_hidden_layers"] = layers
    for tower in (config.vision_config, config.text_config):
        for name, value in changes.items():
            setattr(tower, name, value)
    if large:
        config.text_config.projection_size = LARGE["hidden_size"]
    assert isinstance(config, SiglipConfig)
    return config


def _make_heavy(model: SiglipModel) -> None:
    for tower in (model.vision_model, model.text_model):
        width = tower.config.hidden_size
        heavy = torch.randperm(width)[:HEAVY_CHANNELS]
        for name, weight in tower.encoder.named_parameters():
            if name.endswith(_WRITERS):
                weight[heavy] *= HEAVY_GAIN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--outliers", action="store_true", help="outliers that plain INT8 loses by")
    parser.add_argument("--large", action="store_true", help="24 blocks of 1,024 in both towers")
    options = parser.parse_args()
    make_checkpoint(options.out, outliers=options.outliers, large=options.large)


if __name__ == "__main__":
    main()
