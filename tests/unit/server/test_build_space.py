from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from tiny_checkpoints import change_json, make_siglip, write_siglip, write_tokenizer

from rsq_server.build.load import load_encoder
from rsq_server.build.space import space_id


def _space_of(folder: Path) -> str:
    return space_id(load_encoder(folder))


def test_sharding_and_half_precision_storage_leave_the_space_unchanged(tmp_path: Path) -> None:
    whole = _space_of(write_siglip(tmp_path / "whole"))
    sharded = write_siglip(tmp_path / "sharded")
    (sharded / "model.safetensors").unlink()
    make_siglip().save_pretrained(sharded, max_shard_size="100KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    half = write_siglip(tmp_path / "half")
    make_siglip().half().save_pretrained(half)
    assert (half / "model.safetensors").stat().st_size < 0.6 * (
        tmp_path / "whole" / "model.safetensors"
    ).stat().st_size
    assert _space_of(sharded) == whole
    assert _space_of(half) == whole


def test_loading_again_gives_the_same_space(tmp_path: Path) -> None:
    write_siglip(tmp_path)
    assert _space_of(tmp_path) == _space_of(tmp_path)


def test_one_changed_weight_makes_another_space(tmp_path: Path) -> None:
    encoder = load_encoder(write_siglip(tmp_path))
    before = space_id(encoder)
    weight = encoder.weights["text_model.head.bias"]
    weight[3] = torch.nextafter(weight[3], torch.tensor(10.0))
    assert space_id(encoder) != before


def test_preprocessing_tokenizer_and_activation_make_another_space(tmp_path: Path) -> None:
    spaces = [_space_of(write_siglip(tmp_path))]
    change_json(tmp_path, "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    spaces.append(_space_of(tmp_path))
    write_tokenizer(tmp_path, {"</s>": 1, "<unk>": 3})
    spaces.append(_space_of(tmp_path))
    encoder = load_encoder(tmp_path)
    changed = {**encoder.architecture, "vision": {"activation": "quick_gelu"}}
    spaces.append(space_id(dataclasses.replace(encoder, architecture=changed)))
    assert len(set(spaces)) == 4


def test_scale_and_bias_of_the_score_are_not_part_of_the_space(tmp_path: Path) -> None:
    before = _space_of(write_siglip(tmp_path))
    model = make_siglip()
    model.logit_scale.fill_(2.0)
    model.logit_bias.fill_(-3.0)
    model.save_pretrained(tmp_path)
    assert _space_of(tmp_path) == before
