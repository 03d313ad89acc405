"""The shipped demo checkpoint: it loads, names and finds fresh scenes, and is small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

import rsq_server.demo
from rsq_server.demo.scenes import CLASSES, Scene, generate_scenes
from rsq_server.demo.scoring import (
    embed_images,
    embed_texts,
    scale_pixels,
    score_checkpoint,
    stack_pixels,
)
from rsq_server.demo.tokenizer import encode_texts

MODEL = Path(rsq_server.demo.__file__).parent / "model"
# Neither the training's seeds nor the seed that the model card was measured with.
FRESH_SEED = 31_337


@pytest.fixture(scope="module")
def fresh() -> list[Scene]:
    return generate_scenes(seed=FRESH_SEED, per_class=10)


def test_the_folder_is_at_most_12_mb_and_laid_out_as_hugging_face_does() -> None:
    files = {path.name: path.stat().st_size for path in MODEL.iterdir()}
    assert set(files) == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(files.values()) <= 12_000_000


def test_weights_are_stored_in_half_precision() -> None:
    stored = AutoModel.from_pretrained(MODEL)
    assert {parameter.dtype for parameter in stored.parameters()} == {torch.float16}


def test_it_names_at_least_nine_in_ten_fresh_scenes(fresh: list[Scene]) -> None:
    score = score_checkpoint(MODEL, fresh)
    assert score.scenes == 100
    assert score.zero_shot >= 0.9, score.per_class
    assert score.port_precision_at_5 == 1.0


def test_captions_find_their_scenes_far_better_than_chance(fresh: list[Scene]) -> None:
    score = score_checkpoint(MODEL, fresh)
    assert score.caption_recall_at_10 > 0.5


@pytest.mark.parametrize(
    ("query", "label"),
    [
        ("port with large cargo ships", "port"),
        ("Container vessels in the harbor", "port"),
        ("planes parked at the terminal", "airport"),
        ("circular irrigated fields", "farmland"),
        ("sand dunes", "desert"),
        ("autumn woods", "forest"),
        ("bridge over a river", "river"),
        ("snowy peaks", "snow mountain"),
        ("oil storage tanks in a refinery", "industrial"),
        ("beach with waves", "coast"),
        ("city with tall buildings", "urban"),
    ],
)
def test_freely_worded_queries_find_their_class_first(
    fresh: list[Scene], query: str, label: str
) -> None:
    model = AutoModel.from_pretrained(MODEL, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    scores = embed_images(model, fresh) @ embed_texts(model, tokenizer, [query])[0]
    found = [fresh[int(hit)].label for hit in np.argsort(-scores)[:5]]
    assert found.count(label) >= 4, found


def test_transformers_reads_text_and_pixels_as_the_scoring_does(fresh: list[Scene]) -> None:
    texts = ["Port, with LARGE cargo ships!", "🚢", "river " * 60]
    length = json.loads((MODEL / "config.json").read_text())["text_config"][
        "max_position_embeddings"
    ]
    batch = AutoTokenizer.from_pretrained(MODEL)(
        texts, padding="max_length", truncation=True, max_length=length
    )
    own = encode_texts(Tokenizer.from_file(str(MODEL / "tokenizer.json")), texts, length=length)
    assert batch["input_ids"] == own.tolist()
    image = fresh[0].image.resize((150, 130))
    processed = AutoImageProcessor.from_pretrained(MODEL)(image, return_tensors="pt").pixel_values
    pixels = torch.from_numpy(stack_pixels(image, processed.shape[-1]))[None]
    assert (processed - scale_pixels(pixels)).abs().max() <= 2 / 255


def test_the_card_says_that_it_is_a_demo_and_under_which_licence() -> None:
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    assert "This is a demonstration model" in card
    assert "Apache-2.0" in card
    assert all(f"| {name} |" in card for name in CLASSES)
