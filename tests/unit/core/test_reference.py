from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.errors import BadInput
from rsq.reference import Reference, parse_reference, require_alias, require_model_name

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)
aliases = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,63}", fullmatch=True)
references = st.one_of(
    st.builds(Reference, names),
    st.builds(Reference, names, number=st.integers(1, 999_999_999)),
    st.builds(Reference, names, alias=aliases),
)


@given(references)
def test_every_reference_survives_writing_and_parsing(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference


@given(st.text(max_size=40) | st.from_regex(r"[a-c:@ .0-9-]{0,12}", fullmatch=True))
def test_any_text_parses_to_itself_or_is_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except BadInput as error:
        assert "NAME:3" in error.message  # the sentence shows how to write one
    else:
        assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":3",
        "@production",
        "a:",
        "a@",
        "a:0",
        "a:03",
        "a:-1",
        "a:1.5",
        "a:latest",
        "a:٣",
        "a:1000000000",
        "a@3",
        "a:1@production",
        "a@production:1",
        "a@x@y",
        "a b",
        " a",
        "a\n",
        "../a",
        "a/b",
        ".a",
        "é",
        "a" * 129,
    ],
)
def test_refuses_what_is_not_a_reference(text: str) -> None:
    with pytest.raises(BadInput, match="such as git-rsclip-base:3"):
        parse_reference(text)


def test_reads_the_three_documented_forms() -> None:
    assert parse_reference("git-rsclip-base") == Reference("git-rsclip-base")
    assert parse_reference("git-rsclip-base:3") == Reference("git-rsclip-base", number=3)
    assert parse_reference("demo@staging") == Reference("demo", alias="staging")


def test_names_and_aliases_are_returned_or_refused_with_an_example() -> None:
    assert require_model_name("RemoteCLIP_ViT.B-32") == "RemoteCLIP_ViT.B-32"
    assert require_alias("canary-2") == "canary-2"
    with pytest.raises(BadInput, match="such as git-rsclip-base"):
        require_model_name("a:b")
    with pytest.raises(BadInput, match="such as production"):
        require_alias("3")


def test_a_refusal_quotes_a_bounded_piece_of_the_text() -> None:
    with pytest.raises(BadInput) as refused:
        parse_reference("/" * 10_000)
    assert len(refused.value.message) < 400
