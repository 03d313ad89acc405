from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rsq.errors import BadInput
from rsq_server.recipe_file import MAX_FILE_BYTES, read_recipes
from rsq_server.recipes import RECIPES, Search


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def run(text: str) -> Path:
        path = tmp_path / "own.toml"
        path.write_text(text)
        return path

    return run


def test_a_recipe_starts_from_its_base_and_changes_what_it_names(write) -> None:  # type: ignore[no-untyped-def]
    found = read_recipes(
        write(
            """
            [int8-gentle]
            base = "int8"
            description = "softer"
            smoothing = 0.25
            float_blocks = ["last"]
            [int8-plain]
            base = "int8-gentle"
            smoothing = "none"
            weights = "nearest"
            [int8-strict]
            base = "int8-mixed"
            search = { floor = 0.998, trials = 24 }
            [int8-clipped]
            base = "int8-static"
            calibrator = "percentile"
            percentile = 99.9
            """
        )
    )
    assert list(found) == ["int8-gentle", "int8-plain", "int8-strict", "int8-clipped"]
    gentle, plain = found["int8-gentle"], found["int8-plain"]
    assert (gentle.description, gentle.smoothing) == ("softer", 0.25)
    assert gentle.float_blocks == plain.float_blocks == ("last",)
    assert (plain.smoothing, plain.weights) == (None, "nearest")
    assert plain.providers == RECIPES["int8"].providers
    assert found["int8-strict"].search == Search(floor=0.998, trials=24)
    assert found["int8-clipped"].percentile == 99.9


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[a", "is not TOML"),
        ("", "has 0 recipes"),
        ("a = 1", "'a' is not a table"),
        ("[int8]\nbase = 'int8'", "has the name of one of rsq's own"),
        ("[own]\nsmoothing = 0.5", "needs a base, one of fp32"),
        ("[own]\nbase = 'int3'", "needs a base"),
        ("[own]\nbase = 'int8'\ncalibrator = 'minmax'", "option 'calibrator'; int8 takes"),
        ("[own]\nbase = 'fp16'\nsmoothing = 0.5", "option 'smoothing'; fp16 takes description"),
        ("[own]\nbase = 'int8-static'\nsearch = { floor = 0.9 }", "option 'search'"),
        ("[own]\nbase = 'int8'\nsmoothing = 'much'", "something else than a number"),
        ("[own]\nbase = 'int8'\nsmoothing = true", "something else than a number"),
        ("[own]\nbase = 'int8'\nsmoothing = 1.5", "it lies from 0 to 1"),
        ("[own]\nbase = 'int8'\nsmoothing = nan", "it lies from 0 to 1"),
        ("[own]\nbase = 'int8'\nparts = 'ffn'", "something else than a list"),
        ("[own]\nbase = 'int8'\nparts = ['wings']", "they are attention, ffn"),
        ("[own]\nbase = 'int8'\nparts = []", "parts none"),
        ("[own]\nbase = 'int8'\nweights = 'best'", "they are gptq, nearest"),
        ("[own]\nbase = 'int8'\ntune_projection = 'yes'", "something else than a bool"),
        ("[own]\nbase = 'int8-static'\ncalibrator = 'kl'", "they are minmax, percentile"),
        ("[own]\nbase = 'int8-static'\npercentile = 10", "it lies above 50"),
        ("[own]\nbase = 'int8-mixed'\nsearch = 3", "something else than floor"),
        ("[own]\nbase = 'int8-mixed'\nsearch = { speed = 1 }", "something else than floor"),
        ("[own]\nbase = 'int8-mixed'\nsearch = { floor = 'high' }", "than a number"),
        ("[own]\nbase = 'int8-mixed'\nsearch = { floor = 2 }", "it is a share up to 1"),
        ("[own]\nbase = 'int8-mixed'\nsearch = { trials = 0 }", "it needs one"),
        ("[Own]\nbase = 'int8'", "needs a name of small letters"),
    ],
)
def test_what_is_wrong_is_named(write, text: str, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=sentence):
        read_recipes(write(text))


def test_a_file_that_is_too_large_or_missing_is_refused(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match="bytes"):
        read_recipes(write("#" * (MAX_FILE_BYTES + 1)))
    with pytest.raises(BadInput, match="can't be read"):
        read_recipes(tmp_path / "none.toml")
    with pytest.raises(BadInput, match="can't be read"):
        read_recipes(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["int8", "int8-mixed", "int8-static", "fp32", "int8-stock"]),
    st.sampled_from(
        ["parts", "smoothing", "search", "weights", "embeddings", "percentile", "base"]
    ),
    st.sampled_from(
        ["1", "-1e9", "inf", "'x'", "[]", "[1]", "['ffn']", "{}", "true", "1979-05-27"]
    ),
)
def test_no_value_gets_further_than_a_sentence(
    tmp_path: Path, base: str, option: str, value: str
) -> None:
    path = tmp_path / "own.toml"
    lines = ["[own]", f"base = '{base}'"] if option != "base" else ["[own]"]
    path.write_text("\n".join([*lines, f"{option} = {value}"]))
    try:
        found = read_recipes(path)
    except BadInput as e:
        assert e.message.endswith(".")
    else:
        assert list(found) == ["own"]
