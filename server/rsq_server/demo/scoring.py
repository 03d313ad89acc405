"""How well a checkpoint in Hugging Face layout names and finds generated scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from transformers import AutoModel

from rsq_server.demo.scenes import CLASSES, Scene
from rsq_server.demo.tokenizer import encode_texts

PROMPT = "a satellite image of {}"
PORT_QUERY = "port with large cargo ships"


@dataclass(frozen=True)
class Score:
    """Shares in 0..1 over a set of scenes."""

    zero_shot: float
    per_class: dict[str, float]
    port_precision_at_5: float
    caption_recall_at_1: float
    caption_recall_at_10: float
    scenes: int


def score_checkpoint(folder: Path, scenes: Sequence[Scene]) -> Score:
    """Loads the checkpoint in float32 and scores it on `scenes`.

    Zero-shot: the class whose prompt "a satellite image of {class}" is nearest. Port precision: the
    share of port scenes among the five nearest to "port with large cargo ships". Caption recall:
    each scene's first caption must find it, or one with the same first caption, among the nearest.
    """
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    images = embed_images(model, scenes)
    labels = np.array([CLASSES.index(scene.label) for scene in scenes])
    prompts = embed_texts(model, tokenizer, [PROMPT.format(label) for label in CLASSES])
    right = (images @ prompts.T).argmax(axis=1) == labels
    query = embed_texts(model, tokenizer, [PORT_QUERY])[0]
    first = np.argsort(-(images @ query))[:5]
    captions = [scene.captions[0] for scene in scenes]
    ranks = np.argsort(-(embed_texts(model, tokenizer, captions) @ images.T), axis=1)
    same = np.array(
        [
            [captions[hit] == said for hit in row[:10]]
            for said, row in zip(captions, ranks, strict=True)
        ]
    )
    return Score(
        zero_shot=float(right.mean()),
        per_class={name: float(right[labels == i].mean()) for i, name in enumerate(CLASSES)},
        port_precision_at_5=float((labels[first] == CLASSES.index("port")).mean()),
        caption_recall_at_1=float(same[:, 0].mean()),
        caption_recall_at_10=float(same.any(axis=1).mean()),
        scenes=len(scenes),
    )


# `model` is Any below: transformers declares its configurations too loosely to be checked.
def embed_texts(model: Any, tokenizer: Tokenizer, texts: Sequence[str]) -> NDArray[np.float32]:
    """L2-normalised text vectors, float32 [len(texts), dim]."""
    length = model.config.text_config.max_position_embeddings
    ids = torch.from_numpy(encode_texts(tokenizer, texts, length=length))
    with torch.inference_mode():
        return _normalise(model.text_model(input_ids=ids).pooler_output)


def embed_images(model: Any, scenes: Sequence[Scene]) -> NDArray[np.float32]:
    """L2-normalised image vectors, float32 [len(scenes), dim]."""
    side = model.config.vision_config.image_size
    pixels = np.stack([stack_pixels(scene.image, side) for scene in scenes])
    with torch.inference_mode():
        batches = [torch.from_numpy(pixels[at : at + 100]) for at in range(0, len(pixels), 100)]
        vectors = [model.vision_model(scale_pixels(batch)).pooler_output for batch in batches]
    return _normalise(torch.cat(vectors))


def stack_pixels(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """An RGB image as uint8 [3, side, side], resized bicubically as the model's processor does."""
    resized = image.resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1))


def scale_pixels(batch: torch.Tensor) -> torch.Tensor:
    """uint8 0..255 to float32 -1..1: mean and deviation 0.5, as in SigLIP."""
    return batch.float() / 127.5 - 1.0


def _normalise(vectors: torch.Tensor) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = torch.nn.functional.normalize(vectors, dim=-1).numpy()
    return unit
