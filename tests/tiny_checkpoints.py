"""Checkpoint folders of a few hundred kilobytes: random SigLIP and CLIP models with tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

SIZE = 32
HIDDEN = 32
PROJECTION = 24  # CLIP's; SigLIP's towers give HIDDEN numbers
SIGLIP_LENGTH = 16
CLIP_LENGTH = 20
VOCABULARY = 1000
_TOWER = {
    "hidden_size": HIDDEN,
    "intermediate_size": 4 * HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_VISION = {**_TOWER, "image_size": SIZE, "patch_size": 8}
_CLIP_END = VOCABULARY - 1


def make_siglip(seed: int = 0) -> Any:
    """A SiglipModel whose weights are exact in half precision."""
    text = {
        **_TOWER,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": SIGLIP_LENGTH,
        "projection_size": HIDDEN,
        "pad_token_id": 1,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    return _fill(SiglipModel(SiglipConfig(text_config=text, vision_config=_VISION)), seed)


def make_clip(seed: int = 0) -> Any:
    """A CLIPModel whose weights are exact in half precision."""
    text = {
        **_TOWER,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CLIP_LENGTH,
        "pad_token_id": _CLIP_END,
        "bos_token_id": _CLIP_END - 1,
        "eos_token_id": _CLIP_END,
    }
    config = CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=PROJECTION)
    return _fill(CLIPModel(config), seed)


def write_siglip(folder: Path, seed: int = 0) -> Path:
    make_siglip(seed).save_pretrained(folder)
    size = {"height": SIZE, "width": SIZE}
    write_json(folder, "preprocessor_config.json", {**_statistics(), "size": size})
    write_tokenizer(folder, {"</s>": 1, "<unk>": 2})
    settings = {"pad_token": "</s>", "eos_token": "</s>", "do_lower_case": True}
    write_json(folder, "tokenizer_config.json", settings)
    return folder


def write_clip(folder: Path, seed: int = 0) -> Path:
    make_clip(seed).save_pretrained(folder)
    size = {"size": {"shortest_edge": SIZE}, "crop_size": SIZE, "do_center_crop": True}
    write_json(folder, "preprocessor_config.json", {**_statistics(), **size})
    write_tokenizer(folder, {"<|startoftext|>": _CLIP_END - 1, "<|endoftext|>": _CLIP_END})
    return folder


def write_json(folder: Path, name: str, fields: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(fields))


def change_json(folder: Path, name: str, **fields: Any) -> None:
    """Sets `fields`; those given as None are removed."""
    known = {**json.loads((folder / name).read_text()), **fields}
    write_json(folder, name, {key: value for key, value in known.items() if value is not None})


def write_tokenizer(folder: Path, special: dict[str, int], *, lowers: bool = False) -> None:
    """tokenizer.json with `special` tokens at their ids and made-up words at all others."""
    taken = set(special.values())
    words = {f"w{index}": index for index in range(VOCABULARY) if index not in taken}
    tokenizer = Tokenizer(WordLevel({**words, **special}, unk_token=next(iter(special))))
    tokenizer.pre_tokenizer = Whitespace()
    if lowers:
        tokenizer.normalizer = Lowercase()
    tokenizer.save(str(folder / "tokenizer.json"))


def _fill(model: Any, seed: int) -> Any:
    """Weights with the spread of a trained model's, outliers among the gains included."""
    random = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        spread = 0.3 if weight.dim() > 1 else 0.1
        values = torch.randn(weight.shape, generator=random) * spread
        if "norm" in name and name.endswith("weight"):
            values = values.abs() + 0.5
            values[0] = 4.0
        weight.data = values.half().float()
    return model.eval().requires_grad_(False)


def _statistics() -> dict[str, Any]:
    return {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.6, 0.7], "resample": 2}
