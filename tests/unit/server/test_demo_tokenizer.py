"""The demo model's tokenizer: any text in, a fixed length out."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from rsq_server.demo.tokenizer import END_ID, UNKNOWN, encode_texts, train_tokenizer

TEXTS = ["port with large cargo ships", "a winding river through meadows", "snow mountain"] * 40


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, pieces=400)


def test_training_twice_gives_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    again = train_tokenizer(TEXTS, pieces=400)
    assert again.to_str() == tokenizer.to_str()


@pytest.mark.parametrize("text", ["港口", "🚢 ahoy", "Ünïcödé", "\x00\x07", "q" * 500, "ĳ½"])
def test_no_text_is_unknown(tokenizer: Tokenizer, text: str) -> None:
    assert UNKNOWN not in tokenizer.encode(text).tokens


def test_letters_that_spell_a_byte_piece_are_read_as_letters(tokenizer: Tokenizer) -> None:
    assert "<0x41>" not in tokenizer.encode("<0x41>").tokens
    assert tokenizer.decode(tokenizer.encode("x41 港").ids) == "x41 港"


def test_case_punctuation_and_spacing_do_not_matter(tokenizer: Tokenizer) -> None:
    plain, shouted = encode_texts(
        tokenizer, ["port with large cargo ships", "  PORT, with   large cargo-ships! "], length=32
    )
    assert plain.tolist() == shouted.tolist()


def test_short_texts_are_padded_with_the_end_token(tokenizer: Tokenizer) -> None:
    (row,) = encode_texts(tokenizer, ["snow"], length=16)
    used = len(tokenizer.encode("snow").ids)
    assert row[used - 1 :].tolist() == [END_ID] * (17 - used)
    assert END_ID not in row[: used - 1]


def test_long_texts_are_cut_and_still_end_with_the_end_token(tokenizer: Tokenizer) -> None:
    (row,) = encode_texts(tokenizer, ["river " * 100], length=16)
    assert row[-1] == END_ID
    assert END_ID not in row[:-1]


def test_an_empty_text_is_all_padding(tokenizer: Tokenizer) -> None:
    assert encode_texts(tokenizer, ["", "?!"], length=4).tolist() == [[END_ID] * 4] * 2
