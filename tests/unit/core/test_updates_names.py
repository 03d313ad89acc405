from __future__ import annotations

import pytest

from rsq.errors import BadInput
from rsq.updates.names import MetadataName, check_name, parse_name


@pytest.mark.parametrize("text", ["timestamp.json", "3.root.json", "12.git-rsclip_base.json"])
def test_a_name_reads_as_it_was_written(text: str) -> None:
    assert str(parse_name(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "root", "../root.json", "a/b.json", "0.root.json", "01.root.json", ".json", "a..json"],
)
def test_no_name_becomes_a_path(text: str) -> None:
    with pytest.raises(BadInput):
        parse_name(text)


def test_roles_and_versions_are_checked() -> None:
    assert check_name("targets", None) == MetadataName("targets")
    for role, version in (("../x", 1), ("a/b", None), ("root", 0), ("root", 1 << 62)):
        with pytest.raises(BadInput):
            check_name(role, version)
