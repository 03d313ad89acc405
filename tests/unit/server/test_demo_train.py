"""The training's parts: which pairs are true, what augmentation may change, what is saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModel

from rsq_server.demo.checkpoint import save_checkpoint, write_card
from rsq_server.demo.scenes import CLASSES, Scene, generate_scenes
from rsq_server.demo.scoring import Score, score_checkpoint
from rsq_server.demo.tokenizer import train_tokenizer
from rsq_server.demo.train import SAME_CLASS_WEIGHT, augment, build_model, mark_pairs


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return generate_scenes(seed=5, per_class=1, size=32)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory, scenes: list[Scene]) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    texts = [caption for scene in scenes for caption in scene.captions]
    tokenizer = train_tokenizer(texts, pieces=400)
    torch.manual_seed(0)
    save_checkpoint(build_model(tokenizer.get_vocab_size()), tokenizer, folder)
    return folder


def test_a_caption_is_true_of_its_scenes_and_a_class_prompt_of_its_class() -> None:
    labels = np.array([8, 8, 2])
    said = [{"one ship", "port"}, {"two ships", "port"}, {"woods"}]
    truth, weight = mark_pairs(labels, said, ["one ship", "port", "woods"])
    assert truth[:, :3].tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert truth[:, 3:].argmax(dim=1).tolist() == labels.tolist()
    assert truth[:, 3:].sum().item() == 3
    # Another port's caption is a weak negative; everything else counts in full.
    assert weight[1, 0].item() == pytest.approx(SAME_CLASS_WEIGHT)
    assert weight.sum().item() == pytest.approx(weight.numel() - 1 + SAME_CLASS_WEIGHT)


def test_augmentation_keeps_shape_and_range_and_changes_the_picture() -> None:
    batch = torch.from_numpy(
        np.random.default_rng(1).integers(256, size=(8, 3, 96, 96), dtype=np.uint8)
    )
    changed = augment(np.random.default_rng(2), batch)
    assert changed.shape == batch.shape
    assert changed.dtype == torch.float32
    assert changed.abs().max() <= 1.0
    assert not torch.equal(changed, augment(np.random.default_rng(3), batch))
    assert torch.equal(changed, augment(np.random.default_rng(2), batch))


def test_a_saved_checkpoint_loads_and_scores_in_float32(
    untrained: Path, scenes: list[Scene]
) -> None:
    model = AutoModel.from_pretrained(untrained)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}
    tokenizer = Tokenizer.from_file(str(untrained / "tokenizer.json"))
    assert model.config.text_config.vocab_size == tokenizer.get_vocab_size()
    score = score_checkpoint(untrained, scenes)
    assert score.scenes == 10
    assert score.zero_shot == pytest.approx(np.mean(list(score.per_class.values())))


def test_the_preprocessing_file_names_the_models_own_image_size(untrained: Path) -> None:
    config = json.loads((untrained / "config.json").read_text())
    preprocessing = json.loads((untrained / "preprocessor_config.json").read_text())
    assert preprocessing["size"]["height"] == config["vision_config"]["image_size"]


def test_the_card_reports_what_was_measured(untrained: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((untrained / "config.json").read_text())
    score = Score(
        zero_shot=0.875,
        per_class=dict.fromkeys(CLASSES, 0.75),
        port_precision_at_5=0.6,
        caption_recall_at_1=0.125,
        caption_recall_at_10=0.5,
        scenes=40,
    )
    write_card(tmp_path, score, seed=20)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for part in ("40 fresh scenes", "87.5%", "60%", "12.5%", "| port | 75.0% |", "seed 20"):
        assert part in card
