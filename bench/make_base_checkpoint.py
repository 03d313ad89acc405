"""Makes a checkpoint of SigLIP-base's size with random weights: `make_base_checkpoint.py OUT`.

The shape comes from RSQ_DATA's models/siglip-base-patch16-256-config, the tokenizer from
models/rsq-siglip-small. A few norm gains are made loud, as training makes them; accuracy on such
weights means nothing, size and speed are real.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import torch
from transformers import SiglipConfig, SiglipModel

DATA = Path(os.environ.get("RSQ_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SEED = 0
LOUD_CHANNELS, LOUD_GAIN = 4, 8.0


def make_checkpoint(out: Path) -> None:
    """Writes a half-precision checkpoint in Hugging Face layout to `out`."""
    shape = DATA / "models" / "siglip-base-patch16-256-config"
    tokenizer = DATA / "models" / "rsq-siglip-small"
    torch.manual_seed(SEED)
    model = SiglipModel(SiglipConfig.from_pretrained(shape))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layer_norm" in name and name.endswith("weight"):
                weight[torch.randperm(len(weight))[:LOUD_CHANNELS]] = LOUD_GAIN
    model.half().save_pretrained(out)
    shutil.copyfile(shape / "preprocessor_config.json", out / "preprocessor_config.json")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(tokenizer / name, out / name)


if __name__ == "__main__":
    make_checkpoint(Path(sys.argv[1]))
