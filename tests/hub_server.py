"""A model hub on loopback that speaks enough of two APIs for the real clients to list and download:
Hugging Face (`/api/models/...`, `/ORG/NAME/resolve/...`) and ModelScope (`/api/v1/models/...`).

A test changes the world, not the clients: it sets the fields of HubServer between requests.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HOLD_S = 10.0
HELD_BYTES = 100_000  # far beyond what a listing takes
LARGE_BYTES = 1024  # from here on files are listed as Git LFS objects, with their SHA-256


@dataclass
class HubServer:
    """Serves `files` (name -> bytes) of one repository under the revisions named.

    `status` answers every request with that status instead, `file_status` only those for files.
    `cut_bytes` ends each body of a longer file after so many bytes of the file. `served` replaces
    the bytes of files in their bodies only: the listing keeps describing `files`. While `flow` is
    clear, the second half of each body of HELD_BYTES is held back, for at most HOLD_S.
    """

    files: dict[str, bytes]
    repository: str = "org/model"
    revisions: tuple[str, ...] = ("main", "master", "v1", COMMIT)
    status: int | None = None
    file_status: int | None = None
    error_code: str | None = None  # the X-Error-Code header of refusals
    cut_bytes: int | None = None
    served: dict[str, bytes] = field(default_factory=dict)
    extra_listed: dict[str, bytes] = field(default_factory=dict)  # listed, with names as given
    token: str | None = None  # when set, requests without this bearer token get 401
    html: bool = False  # answers pages, as a captive portal does
    downloads: list[str] = field(default_factory=list)  # names of files asked for by GET

    def __post_init__(self) -> None:
        self.lock = Lock()
        self.flow = Event()
        self.flow.set()

    def __enter__(self) -> HubServer:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def listed(self) -> dict[str, bytes]:
        return {**self.files, **self.extra_listed}


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the output of tests stays readable."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        try:
            self._route()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client hung up, as some tests make it do

    def _route(self) -> None:
        hub = self.hub
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        if hub.html:
            self._send(200, b"<html>Please log in.</html>", {"Content-Type": "text/html"})
        elif hub.status is not None:
            self._refuse(hub.status)
        elif hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self._refuse(401)
        elif path == "/api/v1/repos/internalAccelerationInfo":
            self._send_json({"Data": {}})
        elif path.startswith("/api/v1/models/"):
            self._route_modelscope(path.removeprefix("/api/v1/models/"), query)
        else:
            self._route_huggingface(path)

    def _route_modelscope(self, path: str, query: dict[str, list[str]]) -> None:
        hub = self.hub
        if path.split("/repo")[0] != hub.repository or query["Revision"][0] not in hub.revisions:
            self._refuse(404)
        elif path == f"{hub.repository}/repo/files":
            files = [
                {
                    "Name": name.rsplit("/")[-1],
                    "Path": name,
                    "Type": "blob",
                    "Size": len(data),
                    "Sha256": hashlib.sha256(data).hexdigest(),
                }
                for name, data in hub.listed().items()
            ]
            self._send_json({"Code": 200, "Success": True, "Data": {"Files": files}})
        else:
            self._send_file(query["FilePath"][0], {})

    def _route_huggingface(self, path: str) -> None:
        hub = self.hub
        api = f"/api/models/{hub.repository}"
        resolve = f"/{hub.repository}/resolve/"
        if path.startswith(resolve):
            revision, _, name = path.removeprefix(resolve).partition("/")
            if name not in hub.listed() or revision not in hub.revisions:
                self._refuse(404, "EntryNotFound")
                return
            data = hub.listed()[name]
            tag = _sha256(data) if len(data) >= LARGE_BYTES else _git_sha1(data)
            self._send_file(name, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
        elif path != api and not path.startswith(f"{api}/"):
            self._refuse(404, "RepoNotFound")
        elif path.startswith(f"{api}/tree/"):
            self._send_json([_tree_entry(name, data) for name, data in hub.listed().items()])
        elif path == api or path.removeprefix(f"{api}/revision/") in hub.revisions:
            siblings = [_sibling(name, data) for name, data in hub.listed().items()]
            self._send_json({"id": hub.repository, "sha": COMMIT, "siblings": siblings})
        else:
            self._refuse(404, "RevisionNotFound")

    def _send_file(self, name: str, headers: dict[str, str]) -> None:
        hub = self.hub
        if hub.file_status is not None:
            self._refuse(hub.file_status)
            return
        data = hub.served.get(name, hub.listed()[name])
        start = 0
        status = 200
        if requested := self.headers.get("Range"):
            start = int(requested.removeprefix("bytes=").split("-")[0])
            if start >= len(data):
                self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        if self.command == "GET":
            with hub.lock:
                hub.downloads.append(name)
        if hub.cut_bytes is not None and len(data) > hub.cut_bytes:
            self.close_connection = True
            self._send(status, body, headers, cut_bytes=max(0, hub.cut_bytes - start))
        else:
            self._send(status, body, {"Accept-Ranges": "bytes", **headers})

    def _refuse(self, status: int, code: str | None = None) -> None:
        headers = {"Content-Type": "application/json", "X-Error-Code": self.hub.error_code or code}
        body = json.dumps({"Code": 10010205001, "Message": "no", "Success": False}).encode()
        self._send(status, body, {k: v for k, v in headers.items() if v is not None})

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, cut_bytes: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        half = len(body) // 2
        self.wfile.write(body[:cut_bytes][:half])
        if len(body) >= HELD_BYTES:
            self.hub.flow.wait(HOLD_S)
        self.wfile.write(body[:cut_bytes][half:])


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _sibling(name: str, data: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": _git_sha1(data)}
    if len(data) >= LARGE_BYTES:
        fields["lfs"] = {"sha256": _sha256(data), "size": len(data), "pointerSize": 130}
    return fields


def _tree_entry(name: str, data: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "type": "file",
        "path": name,
        "size": len(data),
        "oid": _git_sha1(data),
    }
    if len(data) >= LARGE_BYTES:
        fields["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 130}
    return fields
