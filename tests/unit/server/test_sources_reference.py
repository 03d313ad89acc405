"""What a user may type for a checkpoint on a hub."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.errors import BadInput
from rsq_server.sources.reference import HubReference, names_hub, parse_hub_reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:org/name", HubReference("hf", "org/name")),
        ("hf:org/name@v1", HubReference("hf", "org/name", "v1")),
        ("hf:org/name@refs/pr/1", HubReference("hf", "org/name", "refs/pr/1")),
        (
            "modelscope:lcybuaa/Git-RSCLIP-base",
            HubReference("modelscope", "lcybuaa/Git-RSCLIP-base"),
        ),
        ("modelscope:a/b.c_d-e@master", HubReference("modelscope", "a/b.c_d-e", "master")),
    ],
)
def test_a_reference_reads_and_prints_the_same(text: str, expected: HubReference) -> None:
    assert parse_hub_reference(text) == expected
    assert str(expected) == text


def test_a_revision_may_come_apart_from_the_text() -> None:
    assert parse_hub_reference("hf:org/name", "v1") == HubReference("hf", "org/name", "v1")
    assert parse_hub_reference("hf:org/name@v1", "v1") == HubReference("hf", "org/name", "v1")


@pytest.mark.parametrize(
    "text",
    [
        "hf:",
        "hf:foo",
        "hf:../x",
        "hf:org/..",
        "hf:org/name/deeper",
        "hf:/name",
        "hf:org/",
        "hf:org/na me",
        "hf:org/a--b",
        "hf:org/name@",
        "hf:org/name@../../etc",
        "hf:org/name@/etc",
        "hf:org/name@v1@v2",
        "hf:org/" + "n" * 97,
        "hf:org/name\n",
        "HF:org/name",
        "ftp:host/file",
        "https://example.org/org/name",
        "modelscope:名/model",
        "hf:org/name@" + "v" * 600,
    ],
)
def test_a_malformed_reference_is_bad_input_in_one_sentence(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_hub_reference(text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300


def test_a_malformed_repository_is_answered_with_examples() -> None:
    with pytest.raises(BadInput, match="hf:ORG/NAME or modelscope:ORG/NAME"):
        parse_hub_reference("hf:foo")


def test_two_different_revisions_are_refused() -> None:
    with pytest.raises(BadInput, match="disagree"):
        parse_hub_reference("hf:org/name@v1", "v2")


@pytest.mark.parametrize("text", ["/data/model", "./a:b", "model", "~/x", "../hf:org/name", ""])
def test_a_path_names_no_hub(text: str) -> None:
    assert not names_hub(text)


@given(st.text(max_size=40))
def test_whatever_is_accepted_is_safe_as_a_path(rest: str) -> None:
    try:
        reference = parse_hub_reference(f"hf:{rest}")
    except BadInput:
        return
    parts = [*reference.repository.split("/"), *(reference.revision or "main").split("/")]
    assert all(part and not part.startswith(".") for part in parts)
