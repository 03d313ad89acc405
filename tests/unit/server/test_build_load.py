from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_checkpoints import (
    CLIP_LENGTH,
    HIDDEN,
    PROJECTION,
    SIGLIP_LENGTH,
    SIZE,
    VOCABULARY,
    change_json,
    make_clip,
    make_siglip,
    write_clip,
    write_siglip,
    write_tokenizer,
)

from rsq.errors import BadSource
from rsq.manifest import ImageSpec, ScoringSpec, TextSpec
from rsq_server.build.load import load_encoder

WEIGHTS = "model.safetensors"


def test_siglip_towers_compute_what_transformers_computes(tmp_path: Path) -> None:
    encoder = load_encoder(write_siglip(tmp_path))
    model = make_siglip()
    for tower, reference in (("vision", model.vision_model), ("text", model.text_model)):
        inputs = torch.from_numpy(encoder.sample_inputs(tower, 3))
        with torch.inference_mode():
            expected = reference(inputs).pooler_output
            rows = encoder.tower(tower)(inputs)
        assert rows.shape == (3, encoder.dimension) == (3, HIDDEN)
        torch.testing.assert_close(rows, expected, rtol=1e-4, atol=1e-5)


def test_clip_towers_compute_what_transformers_computes(tmp_path: Path) -> None:
    encoder = load_encoder(write_clip(tmp_path))
    model = make_clip()
    pixels = torch.from_numpy(encoder.sample_inputs("vision", 3))
    ids = torch.from_numpy(encoder.sample_inputs("text", 3))
    with torch.inference_mode():
        images = model.get_image_features(pixel_values=pixels).pooler_output
        texts = model.get_text_features(input_ids=ids).pooler_output
        torch.testing.assert_close(encoder.vision(pixels), images, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(encoder.text(ids), texts, rtol=1e-4, atol=1e-5)
    assert images.shape == (3, encoder.dimension) == (3, PROJECTION)


def test_specifications_of_siglip_come_from_its_files(tmp_path: Path) -> None:
    encoder = load_encoder(write_siglip(tmp_path))
    mean, std = (0.5, 0.4, 0.3), (0.5, 0.6, 0.7)
    assert encoder.image == ImageSpec(SIZE, SIZE, mean, std, resample="bilinear")
    assert encoder.text_spec == TextSpec(SIGLIP_LENGTH, pad_id=1, eos_id=1, lower_case=True)
    model = make_siglip()
    scale = float(model.logit_scale.exp())
    assert encoder.scoring.kind == "sigmoid"
    assert encoder.scoring.scale == pytest.approx(scale, rel=1e-6)
    assert encoder.scoring.bias == float(model.logit_bias)


def test_specifications_of_clip_come_from_its_files(tmp_path: Path) -> None:
    encoder = load_encoder(write_clip(tmp_path))
    assert encoder.image.shortest_edge == SIZE
    assert (encoder.image.height, encoder.image.width) == (SIZE, SIZE)
    end = VOCABULARY - 1
    assert encoder.text_spec == TextSpec(CLIP_LENGTH, pad_id=end, eos_id=end, bos_id=end - 1)
    scale = float(make_clip().logit_scale.exp())
    assert encoder.scoring == ScoringSpec("softmax", pytest.approx(scale, rel=1e-6))


def test_half_precision_weights_are_cast_up_to_fp32(tmp_path: Path) -> None:
    full = load_encoder(write_siglip(tmp_path))
    make_siglip().half().save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
    for name, tensor in encoder.weights.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, full.weights[name])


def test_lower_casing_is_left_to_a_tokenizer_that_does_it(tmp_path: Path) -> None:
    write_siglip(tmp_path)
    write_tokenizer(tmp_path, {"</s>": 1, "<unk>": 2}, lowers=True)
    assert not load_encoder(tmp_path).text_spec.lower_case


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\ntags:\n- a\nlicense: apache-2.0\n---\n# Model\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: research-only\n---\n", "research-only"),
        ("# Model\nlicense: mit\n", "not stated"),
        (None, "not stated"),
    ],
)
def test_licence_is_what_the_front_matter_says(
    tmp_path: Path, readme: str | None, licence: str
) -> None:
    write_siglip(tmp_path)
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)
    assert load_encoder(tmp_path).licence == licence


def test_loading_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_siglip(tmp_path)
    capfd.readouterr()
    load_encoder(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_real_checkpoint_loads_in_full_precision(rsq_data: Path) -> None:
    encoder = load_encoder(rsq_data / "models" / "rsq-siglip-small")
    assert encoder.image == ImageSpec(128, 128, (0.5,) * 3, (0.5,) * 3, 0.00392156862745098)
    assert encoder.text_spec == TextSpec(64, pad_id=1, eos_id=1)
    assert {tensor.dtype for tensor in encoder.weights.values()} == {torch.float32}
    assert encoder.scoring.scale == pytest.approx(22.983, abs=1e-3)
    assert encoder.scoring.bias == pytest.approx(-7.828, abs=1e-3)


def _remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _change(name: str, **fields: object) -> Callable[[Path], object]:
    return lambda folder: change_json(folder, name, **fields)


def _pickle_weights(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def _drop_tensor(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["vision_model.encoder.layers.1.mlp.fc1.weight"]
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def _reshape_tensor(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["vision_model.post_layernorm.bias"] = torch.zeros(5)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def _truncate_weights(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def _lose_a_shard(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    make_siglip().save_pretrained(folder, max_shard_size="100KB")
    next(folder.glob("model-00002-of-*")).unlink()


def _break_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": 3}')


PREPROCESSOR = "preprocessor_config.json"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_remove("config.json"), "holds no config.json"),
        (_change("config.json", model_type="blip"), "'blip' is not supported; rsq loads siglip"),
        (_change("config.json", model_type=["siglip"]), "is not supported"),
        (_remove(WEIGHTS), "holds no weights"),
        (_pickle_weights, "pytorch_model.bin, which can run code"),
        (_lose_a_shard, "lacks 1 of its weight files"),
        (_drop_tensor, "lacks 1 of the model's tensors"),
        (_reshape_tensor, "can't be loaded"),
        (_truncate_weights, "can't be loaded"),
        (_remove("tokenizer.json"), "no tokenizer.json"),
        (_break_tokenizer, "tokenizer.json is not one"),
        (_change("tokenizer_config.json", pad_token="<pad>"), "no pad_token '<pad>'"),
        (_remove(PREPROCESSOR), "preprocessing is unknown"),
        (_change(PREPROCESSOR, size={"height": 48, "width": 48}), "takes 32 x 32"),
        (_change(PREPROCESSOR, size="large"), "no size"),
        (_change(PREPROCESSOR, resample=5), "no resample"),
        (_change(PREPROCESSOR, image_mean=[0.5]), "no image_mean"),
        (_change(PREPROCESSOR, image_std=[0.5, 0, 0.5]), "no image_std"),
        (_change(PREPROCESSOR, do_resize=False), "resizing off"),
    ],
)
def test_unusable_checkpoint_is_refused_in_one_sentence(
    tmp_path: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    write_siglip(tmp_path)
    damage(tmp_path)
    with pytest.raises(BadSource) as caught:
        load_encoder(tmp_path)
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_clip_tokenizer_that_ends_texts_otherwise_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path)
    write_tokenizer(tmp_path, {"<|startoftext|>": 5, "<|endoftext|>": 6})
    with pytest.raises(BadSource, match=r"ends a text with id 6; its text tower looks for 999"):
        load_encoder(tmp_path)
