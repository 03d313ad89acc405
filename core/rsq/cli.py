"""How both commands end: one clear sentence, or JSON, and the documented exit code."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from rsq.error_catalog import outcome_of
from rsq.errors import BadInput, Interrupted, NothingFits, RsqError

EXIT_BUG = 70


def run_cli(command: Callable[[], Any], *, json_errors: bool) -> int:
    """Runs `command` and returns the process's exit code.

    An RsqError becomes one sentence on stderr, or `{"error": ...}` on stdout when `json_errors`.
    Usage errors of the option parser count as bad input. RSQ_DEBUG=1 shows the traceback of a bug.
    """
    try:
        result = command()
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except RsqError as e:
        return report_error(e, json_errors=json_errors)
    except KeyboardInterrupt:
        return report_error(Interrupted("Stopped."), json_errors=json_errors)
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as e:  # noqa: BLE001 - the last door: everything ends in an exit code
        if type(e).__name__ == "Abort":
            return report_error(Interrupted("Stopped."), json_errors=json_errors)
        if hasattr(e, "format_message"):  # the option parser's usage errors
            hint = " Add --help to see how it is used."
            sentence = str(e.format_message()).strip().rstrip(".") + "."
            return report_error(BadInput(sentence + hint), json_errors=json_errors)
        return _report_bug(e, json_errors=json_errors)


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
    fields: dict[str, Any] = {"code": error.code, "message": error.message}
    if isinstance(error, NothingFits):
        fields["candidates"] = error.candidates
    return fields


def _report_bug(error: Exception, *, json_errors: bool) -> int:
    if os.environ.get("RSQ_DEBUG"):
        traceback.print_exception(error)
    first = (str(error).strip().splitlines() or [""])[0]
    sentence = f"rsq failed unexpectedly ({type(error).__name__}: {first[:200]})."
    hint = " Set RSQ_DEBUG=1 to see where."
    if json_errors:
        print(json.dumps({"error": {"code": "INTERNAL", "message": sentence + hint}}, indent=2))
    else:
        print(sentence + hint, file=sys.stderr)
    return EXIT_BUG
