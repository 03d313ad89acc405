"""Writes the trained model in the Hugging Face layout that google/siglip checkpoints have."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import SiglipModel

from rsq_server.demo.scoring import PORT_QUERY, PROMPT, Score
from rsq_server.demo.tokenizer import END, UNKNOWN

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: zero-shot-image-classification
---

# rsq demo model

**This is a demonstration model.** It knows only the generated overhead scenes of
`rsq_server.demo.scenes`, ten classes of drawings. It has seen no satellite image and is of no use
on real ones; it exists so that rsq can be tried and tested without a download.

A SigLIP (transformers `SiglipModel`) trained from random weights by
`python -m rsq_server.demo.train --out DIR` (seed {seed}), on generated scenes and their generated
captions alone. It holds no weights, text or tokenizer of any other model.

- vision: {vision[hidden_size]} wide, {vision[num_hidden_layers]} layers,
  patch {vision[patch_size]}, image {vision[image_size]} x {vision[image_size]}
- text: {text[hidden_size]} wide, {text[num_hidden_layers]} layers, {text[vocab_size]} tokens,
  {text[max_position_embeddings]} positions; lower-cased, always padded with `</s>` to that length
- weights: float16
- licence: Apache-2.0

## Measured on {score.scenes} fresh scenes (weights as saved, computed in float32)

| measure | result |
|---|---|
| zero-shot top-1 over ten classes, prompt "{prompt}" | {score.zero_shot:.1%} |
| port scenes among the first five for "{query}" | {score.port_precision_at_5:.0%} |
| first caption finds a scene that carries it, first | {score.caption_recall_at_1:.1%} |
| the same, among the first ten | {score.caption_recall_at_10:.1%} |

| class | zero-shot top-1 |
|---|---|
{classes}
"""


def save_checkpoint(model: SiglipModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes weights, configuration, preprocessing and tokenizer into `folder`.

    The weights are stored in float16, and `model` itself is left in float16.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.nn.Module.to(model, torch.float16)
    model.save_pretrained(folder)
    # It writes weights that only their owner may read; they are to be packaged and shared.
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(str(folder / "tokenizer.json"))
    shape = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    side = shape["vision_config"]["image_size"]
    length = shape["text_config"]["max_position_embeddings"]
    specials: dict[str, object] = {"eos_token": END, "pad_token": END, "unk_token": UNKNOWN}
    _write_json(
        folder / "preprocessor_config.json",
        {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SiglipImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "processor_class": "SiglipProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"height": side, "width": side},
        },
    )
    _write_json(
        folder / "tokenizer_config.json",
        {
            **specials,
            "clean_up_tokenization_spaces": False,
            "do_lower_case": True,
            "model_input_names": ["input_ids"],
            "model_max_length": length,
            # SiglipTokenizer insists on a SentencePiece file, which this tokenizer has not.
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    _write_json(folder / "special_tokens_map.json", specials)


def write_card(folder: Path, score: Score, *, seed: int) -> None:
    """Writes README.md: what the model is, how it was made, what it scored."""
    shape = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    classes = "\n".join(f"| {name} | {share:.1%} |" for name, share in score.per_class.items())
    card = _CARD.format(
        score=score,
        seed=seed,
        prompt=PROMPT.format("{class}"),
        query=PORT_QUERY,
        classes=classes,
        vision=shape["vision_config"],
        text=shape["text_config"],
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
