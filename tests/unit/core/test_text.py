"""Token ids: against recorded ones of the real tokenizers, and the edges on a generated one."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from rsq.errors import BadInput, BadManifest, EnvironmentFault
from rsq.manifest import TextSpec
from rsq.text import MAX_TEXT_BYTES, MAX_TOKENIZER_BYTES, TextTokenizer

PAD, BOS, EOS, UNKNOWN, PORT, SHIP = range(6)
SPEC = TextSpec(max_length=6, pad_id=PAD, eos_id=EOS)
CLIP_LIKE = TextSpec(max_length=6, pad_id=PAD, eos_id=EOS, bos_id=BOS)


def make_tokenizer() -> Tokenizer:
    names = {"<pad>": PAD, "<s>": BOS, "</s>": EOS, "<unk>": UNKNOWN, "port": PORT, "ship": SHIP}
    tokenizer = Tokenizer(models.WordLevel(names, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    make_tokenizer().save(str(path))
    return path


@pytest.fixture(scope="module")
def siglip(rsq_data: Path) -> TextTokenizer:
    path = rsq_data / "tokenizers" / "siglip" / "tokenizer.canonical.json"
    return TextTokenizer.open(path, TextSpec(max_length=64, pad_id=1, eos_id=1))


@pytest.fixture(scope="module")
def clip(rsq_data: Path) -> TextTokenizer:
    path = rsq_data / "tokenizers" / "clip" / "tokenizer.json"
    spec = TextSpec(max_length=77, pad_id=49407, eos_id=49407, bos_id=49406)
    return TextTokenizer.open(path, spec)


def test_all_golden_siglip_cases_match(siglip: TextTokenizer, rsq_data: Path) -> None:
    path = rsq_data / "tokenizers" / "siglip" / "siglip-tokenizer-reference-v1.json"
    cases = json.loads(path.read_text())["cases"]
    assert len(cases) == 31
    rows = siglip.encode([case["query"] for case in cases])
    wrong = [
        case["name"]
        for case, row in zip(cases, rows, strict=True)
        if row.tolist() != case["input_ids"]
    ]
    assert wrong == []


def test_clip_ids_match_and_padding_follows(clip: TextTokenizer) -> None:
    (row,) = clip.encode(["a photo of a cat"]).tolist()
    assert row == [49406, 320, 1125, 539, 320, 2368, 49407] + [49407] * 70


def test_clip_truncation_keeps_bos_first_and_eos_last(clip: TextTokenizer) -> None:
    (row,) = clip.encode(["cat " * 200]).tolist()
    assert row == [49406] + [2368] * 75 + [49407]


def encode_or_refuse(tokenizer: TextTokenizer, text: str) -> list[int]:
    """The row, or nothing where the text is rightly refused."""
    try:
        rows = tokenizer.encode([text])
    except BadInput:
        assert not text.strip() or any(0xD800 <= ord(c) <= 0xDFFF for c in text)
        return []
    assert rows.dtype == np.int64
    (row,) = rows.tolist()
    return row


any_text = st.text() | st.text(st.characters(codec=None))  # with lone surrogates


@given(text=any_text)
def test_any_text_is_encoded_or_refused(tokenizer_file: Path, text: str) -> None:
    row = encode_or_refuse(TextTokenizer.open(tokenizer_file, SPEC), text)
    assert not row or (len(row) == 6 and EOS in row)


@given(text=any_text)
def test_any_text_is_encoded_or_refused_by_the_real_tokenizer(
    siglip: TextTokenizer, text: str
) -> None:
    row = encode_or_refuse(siglip, text)
    assert not row or (len(row) == 64 and 1 in row and min(row) >= 0 and max(row) < 32_000)


@given(text=st.text(min_size=1).filter(str.strip))
def test_row_does_not_depend_on_its_neighbours(clip: TextTokenizer, text: str) -> None:
    others = ["port", text, "a much longer text about ships " * 9]
    assert np.array_equal(clip.encode(others)[1], clip.encode([text])[0])


def test_padding_and_eos_follow_the_specification(tokenizer_file: Path) -> None:
    encode = TextTokenizer.open(tokenizer_file, SPEC).encode
    assert encode(["port ship", "ship"]).tolist() == [
        [PORT, SHIP, EOS, PAD, PAD, PAD],
        [SHIP, EOS, PAD, PAD, PAD, PAD],
    ]


def test_exact_fit_and_overflow_end_with_eos(tokenizer_file: Path) -> None:
    encode = TextTokenizer.open(tokenizer_file, CLIP_LIKE).encode
    rows = encode(["port " * 4, "port " * 5, "port " * 99]).tolist()
    assert rows == [[BOS, PORT, PORT, PORT, PORT, EOS]] * 3


def test_what_the_file_says_of_padding_truncation_and_special_tokens_is_ignored(
    tmp_path: Path,
) -> None:
    tokenizer = make_tokenizer()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=40, pad_id=UNKNOWN, direction="left")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> <s> $A", special_tokens=[("<s>", BOS)]
    )
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    rows = TextTokenizer.open(path, SPEC).encode(["port ship port"]).tolist()
    assert rows == [[PORT, SHIP, PORT, EOS, PAD, PAD]]


def test_lower_case_only_when_the_specification_says_so(tokenizer_file: Path) -> None:
    lower = TextSpec(max_length=6, pad_id=PAD, eos_id=EOS, lower_case=True)
    assert TextTokenizer.open(tokenizer_file, lower).encode(["PORT"])[0, 0] == PORT
    assert TextTokenizer.open(tokenizer_file, SPEC).encode(["PORT"])[0, 0] == UNKNOWN


def test_no_texts_give_no_rows(tokenizer_file: Path) -> None:
    assert TextTokenizer.open(tokenizer_file, SPEC).encode([]).shape == (0, 6)


def test_threads_get_the_rows_they_asked_for(tokenizer_file: Path) -> None:
    tokenizer = TextTokenizer.open(tokenizer_file, SPEC)
    texts = [["port"] * (count % 5 + 1) for count in range(64)]
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(tokenizer.encode, texts))
    assert [len(part) for part in rows] == [len(part) for part in texts]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Text 1 is empty."),
        (" \t\n\u3000\u2028", "Text 1 is empty."),
        ("a\ud800b", "Text 1 holds a lone surrogate at character 1."),
        ("x" * (MAX_TEXT_BYTES + 1), "Text 1 has 65537 bytes, over the limit of 65536."),
        ("港" * (MAX_TEXT_BYTES // 3 + 1), "Text 1 has 65538 bytes, over the limit of 65536."),
    ],
)
def test_bad_text_is_named_by_its_index(tokenizer_file: Path, text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        TextTokenizer.open(tokenizer_file, SPEC).encode(["port", text])
    assert str(caught.value) == sentence


def test_text_at_the_limit_is_encoded(siglip: TextTokenizer) -> None:
    assert siglip.encode(["x" * MAX_TEXT_BYTES]).shape == (1, 64)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"not json", b"\xff\xfe", b"[]", b'{"version": "1.0", "model": {}}']
)
def test_malformed_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"is not a tokenizer\.json that can be read"):
        TextTokenizer.open(path, SPEC)


def test_oversized_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(MAX_TOKENIZER_BYTES + 1)
    with pytest.raises(BadInput, match="is larger than"):
        TextTokenizer.open(path, SPEC)


def test_missing_tokenizer_is_an_environment_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="can't be read"):
        TextTokenizer.open(tmp_path / "absent.json", SPEC)


@pytest.mark.parametrize(
    "spec",
    [
        TextSpec(max_length=6, pad_id=99, eos_id=EOS),
        TextSpec(max_length=6, pad_id=PAD, eos_id=99),
        TextSpec(max_length=6, pad_id=PAD, eos_id=EOS, bos_id=99),
    ],
)
def test_specification_with_unknown_ids_is_refused(tokenizer_file: Path, spec: TextSpec) -> None:
    with pytest.raises(BadManifest, match="no token 99"):
        TextTokenizer.open(tokenizer_file, spec)


def test_specification_without_room_is_refused(tokenizer_file: Path) -> None:
    with pytest.raises(BadManifest, match="no room"):
        TextTokenizer.open(tokenizer_file, TextSpec(2, pad_id=PAD, eos_id=EOS, bos_id=BOS))
