"""How a command ends: sentence, JSON and exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import NoReturn

import pytest
import typer

from rsq.cli import error_to_json, run_cli
from rsq.error_catalog import CATALOG, Outcome
from rsq.errors import BadInput, Interrupted, NotFound, NothingFits, RsqError

CANDIDATE = {"tower": "text", "variant": "fp32", "reason": "OVER_BUDGET", "detail": "too large"}


def fail(error: BaseException) -> NoReturn:
    raise error


def test_success_is_zero_and_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(lambda: None, json_errors=True) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("outcome", CATALOG, ids=lambda row: row.error.code)
def test_every_error_ends_in_its_exit_code_and_one_sentence_on_stderr(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    error = outcome.error("This went wrong.")
    assert run_cli(lambda: fail(error), json_errors=False) == outcome.exit_code
    assert capsys.readouterr() == ("", "This went wrong.\n")


def test_with_json_the_error_is_one_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(lambda: fail(NotFound("No such model.")), json_errors=True) == 3
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": {"code": "NOT_FOUND", "message": "No such model."}}
    assert err == ""


def test_candidates_are_in_the_json_and_in_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    error = NothingFits("Nothing fits 1 MB.", candidates=[CANDIDATE])
    assert error_to_json(error)["candidates"] == [CANDIDATE]
    assert run_cli(lambda: fail(error), json_errors=False) == 4
    assert capsys.readouterr().err.splitlines() == [
        "Nothing fits 1 MB.",
        "  text fp32: OVER_BUDGET, too large",
    ]


def test_only_errors_that_carry_candidates_have_the_key() -> None:
    assert "candidates" not in error_to_json(BadInput("No."))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted("Stopped."), typer.Abort()])
def test_an_interruption_is_130_with_a_sentence(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(lambda: fail(error), json_errors=False) == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_an_interruption_that_the_option_parser_returns_as_a_code_gets_its_sentence_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = typer.Typer()
    app.command()(lambda: fail(KeyboardInterrupt()))
    assert run_cli(lambda: app([], standalone_mode=False), json_errors=False) == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_sigterm_lets_the_command_clean_up_and_ends_as_an_interruption(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cleaned = []

    def command() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            cleaned.append(True)

    before = signal.getsignal(signal.SIGTERM)
    assert run_cli(command, json_errors=False) == 130
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nope"], "No such option: --nope."),
        (["--count", "many"], "'--count'"),
        ([], "--count"),
    ],
)
def test_usage_errors_of_the_option_parser_are_bad_input_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()

    @app.command()
    def command(count: int = typer.Option(...)) -> None:
        raise AssertionError(count)

    assert run_cli(lambda: app(arguments, standalone_mode=False), json_errors=False) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert err.endswith("Add --help to see how it is used.\n")


def test_no_command_prints_the_help_page_as_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.command("one")(lambda: None)
    app.command("two")(lambda: None)
    assert run_cli(lambda: app([], standalone_mode=False), json_errors=False) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage:")
    assert "Add --help" not in err


def test_an_exit_code_that_the_command_returns_is_kept() -> None:
    assert run_cli(lambda: 3, json_errors=False) == 3


def test_a_bug_is_70_with_a_sentence_and_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RSQ_DEBUG", raising=False)
    assert run_cli(lambda: fail(ValueError("lost\nmore")), json_errors=False) == 70
    err = capsys.readouterr().err
    assert err == ("rsq failed unexpectedly (ValueError: lost). Set RSQ_DEBUG=1 to see where.\n")


def test_a_bug_shows_its_traceback_when_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSQ_DEBUG", "1")
    assert run_cli(lambda: fail(ValueError("lost")), json_errors=True) == 70
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "INTERNAL"
    assert "Traceback" in err
    assert "ValueError: lost" in err


def test_an_error_of_a_newer_release_counts_as_a_bug() -> None:
    class Novel(RsqError):
        code = "NOVEL"

    assert run_cli(lambda: fail(Novel("New.")), json_errors=True) == 70


@pytest.mark.parametrize(
    "printing",
    [
        pytest.param("print('x')", id="in the buffer until the end"),
        pytest.param("[print('x' * 1000) for _ in range(1000)]", id="while printing"),
        pytest.param(
            "app = typer.Typer(); app.command()(lambda: [print('x' * 1000) for _ in range(1000)]); "
            "app([], standalone_mode=False)",
            id="inside the option parser",
        ),
        pytest.param(
            "from rich.console import Console; Console().print('x x\\n' * 2000)", id="inside rich"
        ),
        pytest.param("raise rsq.errors.BadInput('x')", id="while printing an error"),
    ],
)
def test_a_reader_that_has_gone_is_no_error_and_no_noise(printing: str) -> None:
    script = (
        "import sys, typer, rsq.errors; from rsq.cli import run_cli\n"
        f"def command():\n    {printing}\n"
        "code = run_cli(command, json_errors=True); sys.exit(code)"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write_end)
    assert done.stderr == ""
    assert done.returncode == 0
