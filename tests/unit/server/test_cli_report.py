"""`rsq-server report` on a registry in tmp_path."""

from __future__ import annotations

from pathlib import Path

import pytest
from server_command import run_server_command
from tiny_registry import fill_home

from rsq.records import VersionRow


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSQ_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def versions(tmp_path: Path) -> list[VersionRow]:
    return fill_home(tmp_path / "home", tmp_path / "artifacts")


@pytest.mark.parametrize(
    ("reference", "number"), [("tiny", 1), ("tiny:2", 2), ("tiny@production", 1)]
)
def test_writes_the_page_of_what_the_reference_means(
    versions: list[VersionRow], tmp_path: Path, reference: str, number: int
) -> None:
    result = run_server_command("report", reference)
    path = tmp_path / f"tiny-{number}.html"
    page = path.read_text()
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{path.name} (")
    assert "kB)" in result.out
    assert f"<title>tiny:{number} " in page
    assert all(row.id in page for row in versions[number - 1].artifacts)


def test_json_has_the_path_and_the_size(versions: list[VersionRow], tmp_path: Path) -> None:
    target = tmp_path / "a report.html"
    shown = run_server_command("report", "tiny", "-o", str(target), "--json").json()
    assert shown == {"path": str(target), "bytes": target.stat().st_size}


def test_the_help_has_examples() -> None:
    result = run_server_command("report", "--help")
    assert (result.code, result.err) == (0, "")
    page, _, examples = result.out.partition("Examples")
    assert "--output" in page
    assert examples.count("rsq-server report ") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("unknown",), 3, "this registry has: tiny."),
        (("tiny:9",), 3, "it has 1 to 2."),
        (("tiny@staging",), 3, "no alias 'staging'"),
        (("no spaces",), 2, "NAME:3"),
        (
            ("tiny", "-o", "missing/report.html"),
            13,
            "missing/report.html can't be written: No such",
        ),
        (("tiny", "-o", "."), 13, "can't be written: Is a directory."),
        (("tiny", "-o", "-", "--json"), 2, "both print on stdout"),
    ],
)
def test_refusals_are_one_sentence_and_leave_no_file(
    versions: list[VersionRow],
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    result = run_server_command("report", *arguments)
    said = result.err or result.json()["error"]["message"]
    assert result.code == code
    assert sentence in said
    assert "Traceback" not in said
    assert list(tmp_path.glob("**/*.html")) == []
