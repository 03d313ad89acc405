from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_checkpoints import write_clip, write_siglip

from rsq.errors import BadSource
from rsq.manifest import TextSpec
from rsq.text import TextTokenizer
from rsq_server.build.load import load_encoder
from rsq_server.build.tokenizer_conversion import convert_tokenizer


def test_converted_siglip_tokenizer_matches_every_golden_case(
    rsq_data: Path, tmp_path: Path
) -> None:
    source = rsq_data / "tokenizers" / "siglip"
    shutil.copy(source / "spiece.rebuilt.model", tmp_path / "spiece.model")
    assert convert_tokenizer(tmp_path, tmp_path / "tokenizer.json")
    golden = json.loads((source / "siglip-tokenizer-reference-v1.json").read_text())["cases"]
    tokenizer = TextTokenizer.open(tmp_path / "tokenizer.json", TextSpec(64, pad_id=1, eos_id=1))
    assert len(golden) == 31
    for case in golden:
        assert tokenizer.encode([case["query"]])[0].tolist() == case["input_ids"], case["name"]


def test_converted_clip_tokenizer_gives_the_ids_of_the_shipped_one(
    rsq_data: Path, tmp_path: Path
) -> None:
    source = rsq_data / "tokenizers" / "clip"
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(source / name, tmp_path)
    write_clip(tmp_path / "checkpoint")
    shutil.copy(tmp_path / "checkpoint" / "config.json", tmp_path)
    assert convert_tokenizer(tmp_path, tmp_path / "tokenizer.json")
    spec = TextSpec(77, pad_id=49407, eos_id=49407, bos_id=49406)
    texts = ["a photo of a cat", "An Airport, with 2 runways & São Paulo's  planes!"]
    made, shipped = (
        TextTokenizer.open(folder / "tokenizer.json", spec).encode(texts)
        for folder in (tmp_path, source)
    )
    assert made[0, :7].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert made.tolist() == shipped.tolist()


def test_checkpoint_without_tokenizer_json_loads_with_a_converted_one(
    rsq_data: Path, tmp_path: Path
) -> None:
    source = rsq_data / "models" / "rsq-siglip-small"
    for file in source.iterdir():
        if file.name != "tokenizer.json":
            (tmp_path / file.name).symlink_to(file)
    work = tmp_path / "work"
    work.mkdir()
    encoder = load_encoder(tmp_path, work_folder=work)
    assert encoder.tokenizer_json == work / "tokenizer.json"
    assert encoder.text_spec == load_encoder(source).text_spec
    with pytest.raises(BadSource, match=r"no tokenizer\.json"):
        load_encoder(tmp_path)


def test_folder_without_any_tokenizer_is_refused(tmp_path: Path) -> None:
    write_siglip(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(BadSource, match=r"no tokenizer\.json"):
        load_encoder(tmp_path, work_folder=tmp_path)


def test_damaged_sentencepiece_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"not a model")
    with pytest.raises(BadSource, match="tokenizer files can't be read"):
        convert_tokenizer(tmp_path, tmp_path / "tokenizer.json")
    assert not (tmp_path / "tokenizer.json").exists()
