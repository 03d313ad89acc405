"""The process that downloads: `python -m rsq_server.sources.download HUB ORG/NAME REVISION`.

Run by `rsq_server.sources.transfer` and nobody else. It writes one JSON object a line to its
standard output: any number of {"done", "total"}, then one {"revision", "files"} or one {"code",
"message"}. What the hubs' clients print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from threading import Lock
from typing import Any

from rsq.errors import Interrupted, RsqError
from rsq_server.sources.huggingface import download_huggingface
from rsq_server.sources.modelscope import download_modelscope
from rsq_server.sources.reference import parse_hub_reference

REPORT_INTERVAL_S = 0.1


class Reporter:
    """Writes the lines. Progress is thinned to one line in REPORT_INTERVAL_S, the end kept."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = Lock()
        self._reported_at = float("-inf")
        self._reported: int | None = None

    def advance(self, done: int, total: int | None) -> None:
        if total is not None:
            # A file fetched twice, or other than listed, must not draw a bar beyond its end.
            done = min(done, total)
        with self._lock:
            now = time.monotonic()
            due = now - self._reported_at >= REPORT_INTERVAL_S or done == total
            if due and done != self._reported:
                self._reported_at, self._reported = now, done
                self._write({"done": done, "total": total})

    def finish(self, fields: dict[str, Any]) -> None:
        with self._lock:
            self._write(fields)

    def _write(self, fields: dict[str, Any]) -> None:
        line = memoryview(json.dumps(fields).encode() + b"\n")
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except BrokenPipeError:
            # Whoever asked is gone. The clients' threads would go on downloading for nobody.
            os._exit(1)


def main() -> None:
    """Downloads what the arguments name and reports on the original standard output."""
    reporter = Reporter(os.dup(1))
    os.dup2(2, 1)  # so that nothing a client prints mixes with the lines
    text = sys.argv[1]
    try:
        reference = parse_hub_reference(text)
        download = download_huggingface if reference.hub == "hf" else download_modelscope
        revision, files = download(reference, reporter.advance)
    except RsqError as e:
        reporter.finish({"code": e.code, "message": e.message})
    except KeyboardInterrupt:
        reporter.finish({"code": Interrupted.code, "message": "The download was interrupted."})
    else:
        rows = [[file.name, str(file.path), file.size_bytes, file.sha256] for file in files]
        reporter.finish({"revision": revision, "files": rows})


if __name__ == "__main__":
    main()
