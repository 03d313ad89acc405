"""How both commands end: one clear sentence, or JSON, and the documented exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from rsq.error_catalog import outcome_of
from rsq.errors import BadInput, InternalError, Interrupted, NothingFits, RsqError

# What option parsers return instead of raising when Ctrl-C reaches them: 128 + SIGINT.
_PARSER_INTERRUPTED = 130


def run_cli(command: Callable[[], Any], *, json_errors: bool) -> int:
    """Runs `command` in the main thread and returns the process's exit code.

    An RsqError becomes one sentence on stderr, or `{"error": ...}` on stdout when `json_errors`.
    Usage errors of the option parser count as bad input. SIGTERM ends `command` as Ctrl-C does, so
    that it cleans up. RSQ_DEBUG=1 shows the traceback of a bug.
    """
    # grpc's C core would print its own line beside our sentence. It reads this when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        with _terminated_as_interrupted():
            code = _run(command, json_errors=json_errors)
        sys.stdout.flush()
    except BrokenPipeError:
        return _discard_output()
    return code


def report_error(error: RsqError, *, json_errors: bool) -> int:
    """Prints `error` and returns its exit code."""
    if json_errors:
        print(json.dumps({"error": error_to_json(error)}, indent=2))
    else:
        print(error.message, file=sys.stderr)
        if isinstance(error, NothingFits):
            for candidate in error.candidates:
                print(
                    f"  {candidate['tower']} {candidate['variant']}: {candidate['reason']}, "
                    f"{candidate['detail']}",
                    file=sys.stderr,
                )
    return outcome_of(error).exit_code


def error_to_json(error: RsqError) -> dict[str, Any]:
    """`code`, `message`, and `candidates` where there are some."""
    fields: dict[str, Any] = {"code": error.code, "message": error.message}
    if isinstance(error, NothingFits):
        fields["candidates"] = error.candidates
    return fields


def _run(command: Callable[[], Any], *, json_errors: bool) -> int:
    try:
        result = command()
    except RsqError as e:
        return report_error(e, json_errors=json_errors)
    except KeyboardInterrupt:
        return report_error(Interrupted("Stopped."), json_errors=json_errors)
    except SystemExit as e:
        # Option parsers and table printers turn a closed pipe into an exit of their own.
        if isinstance(e.__context__, BrokenPipeError):
            raise e.__context__ from None
        raise
    except BrokenPipeError:
        raise
    except Exception as e:  # noqa: BLE001 - the last door: everything ends in an exit code
        return report_error(_describe(e), json_errors=json_errors)
    if result == _PARSER_INTERRUPTED:
        return report_error(Interrupted("Stopped."), json_errors=json_errors)
    return result if isinstance(result, int) else 0


def _describe(failure: Exception) -> RsqError:
    """The option parser's errors are known by their shape, since this package depends on none."""
    if type(failure).__name__ == "Abort":
        return Interrupted("Stopped.")
    if not hasattr(failure, "format_message"):
        return _describe_bug(failure)
    message = str(failure.format_message()).strip()
    if "\n" in message:  # no command was given, and this is the whole help page
        return BadInput(message)
    stop = "" if message.endswith((".", "?")) else "."
    return BadInput(f"{message}{stop} Add --help to see how it is used.")


def _describe_bug(failure: Exception) -> InternalError:
    if os.environ.get("RSQ_DEBUG"):
        traceback.print_exception(failure)
    first = (str(failure).strip().splitlines() or [""])[0]
    return InternalError(
        f"rsq failed unexpectedly ({type(failure).__name__}: {first[:200]}). "
        "Set RSQ_DEBUG=1 to see where."
    )


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _discard_output() -> int:
    """Whoever read our output has gone, with all that they wanted. The interpreter must not try to
    flush the rest when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
