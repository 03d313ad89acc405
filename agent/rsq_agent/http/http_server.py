"""Embedding over HTTP in OpenAI's shape: POST /v1/embeddings, GET /v1/models, /healthz, /readyz."""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

import numpy as np

from rsq.call_record import CallRecord, Identity, observe_call
from rsq.error_catalog import outcome_of
from rsq.errors import EnvironmentFault, Exhausted, InternalError, RsqError
from rsq.logs import log_call
from rsq.request_id import REQUEST_ID_KEY, choose_request_id
from rsq.rpc.addresses import join_address, split_address
from rsq.rpc.authorization import AUTHORIZATION
from rsq.rpc.guard import Guard
from rsq.tls import ServerTls
from rsq.tokens import Scope
from rsq_agent.http.http_connections import (
    BODY_SECONDS,
    HEADER_SECONDS,
    HEALTH_SECONDS,
    WRITE_SECONDS,
    BoundedServer,
    TimedReader,
    is_connected,
)
from rsq_agent.http.http_requests import embeddings_body, error_body, models_body, parse_request
from rsq_agent.inference.embedding import Caller, EmbedResult, embed_images, embed_texts
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.serving import Serving

MAX_BODY_BYTES = 32 << 20
MAX_CONCURRENT = 16  # requests whose bodies are in memory
REQUEST_SECONDS = 60.0  # from the body's end to the vectors
HEALTH_PATHS = ("/healthz", "/readyz")
PATHS = {"/v1/embeddings": "POST", "/v1/models": "GET", "/healthz": "GET", "/readyz": "GET"}
log = logging.getLogger("rsq.http")


class HttpServer:
    """Answers on HOST:PORT for the length of the block; `address` has the bound port."""

    def __init__(
        self,
        serving: Serving,
        *,
        listen: str,
        guard: Guard,
        tls: ServerTls | None = None,
        is_ready: Callable[[], bool],
        on_end: Sequence[Callable[[CallRecord], None]] = (),
    ) -> None:
        """Raises EnvironmentFault when the port is in use."""
        host, port = split_address(listen)
        door = _Door(serving, guard, is_ready, (log_call, *on_end))

        class Handler(_Handler):
            pass

        Handler.door = door
        contexts = tls.http_context() if tls is not None else None
        try:
            self._server = BoundedServer(host, port, Handler, tls=contexts)
        except OSError as e:
            raise EnvironmentFault(
                f"Can't serve HTTP on {listen}: the port is in use or not allowed here. "
                "Choose another with --http HOST:PORT."
            ) from e
        self.address = join_address(host, self._server.server_port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="http", daemon=True
        )

    def __enter__(self) -> Self:
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


class _Door:
    """What all connections share."""

    def __init__(
        self,
        serving: Serving,
        guard: Guard,
        is_ready: Callable[[], bool],
        on_end: Sequence[Callable[[CallRecord], None]],
    ) -> None:
        self.serving = serving
        self.guard = guard
        self.is_ready = is_ready
        self.on_end = on_end
        self.slots = threading.BoundedSemaphore(MAX_CONCURRENT)

    def embed(self, body: bytes, is_waiting: Callable[[], bool]) -> dict[str, Any]:
        until = time.monotonic() + REQUEST_SECONDS
        request = parse_request(body)

        def caller() -> Caller:
            return Caller(is_waiting, max(until - time.monotonic(), 0.0))

        lease = self.serving.lease(request.model, timeout_seconds=caller().timeout_seconds)
        with lease as model:
            rows, artifact_ids = _embed_items(model, request.items, caller)
            return embeddings_body(
                rows,
                encoding=request.encoding,
                model=model.activation.model,
                version=model.activation.version,
                space_id=model.manifest.space_id,
                artifact_ids=artifact_ids,
            )


def _embed_items(
    model: LiveModel, items: Sequence[str | bytes], caller: Callable[[], Caller]
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], dict[str, str]]:
    """float32 [n, dim] in the order of `items`, and the artifacts by tower. Both towers together
    have the time that `caller` has left."""
    rows = np.empty((len(items), model.manifest.dimension), np.float32)
    artifact_ids = {}
    texts = {place: item for place, item in enumerate(items) if isinstance(item, str)}
    images = {place: item for place, item in enumerate(items) if isinstance(item, bytes)}
    if texts:
        result = _naming_place(list(texts), embed_texts, model, list(texts.values()), caller())
        rows[list(texts)], artifact_ids["text"] = result.rows, result.artifact_id
    if images:
        result = _naming_place(list(images), embed_images, model, list(images.values()), caller())
        rows[list(images)], artifact_ids["vision"] = result.rows, result.artifact_id
    return rows, artifact_ids


def _naming_place(
    places: list[int],
    embed: Callable[[LiveModel, Any, Caller], EmbedResult],
    model: LiveModel,
    items: Sequence[Any],
    caller: Caller,
) -> EmbedResult:
    """Makes the index that an error names the one in the whole request."""
    try:
        return embed(model, items, caller)
    except RsqError as e:
        index = e.metadata.get("index")
        if index is None:
            raise
        place = str(places[int(index)])
        message = e.message.replace(f"item {index}:", f"item {place}:", 1)
        raise type(e)(message, metadata={**e.metadata, "index": place}) from e


class _Refusal(Exception):
    """A request that HTTP itself forbids; the connection ends with the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Handler(BaseHTTPRequestHandler):
    """One connection. Its thread and its socket are bounded in time at every step."""

    door: _Door
    protocol_version = "HTTP/1.1"
    server_version = "rsq"
    sys_version = ""
    connection: socket.socket
    server: BoundedServer

    def setup(self) -> None:
        super().setup()
        self._reader = TimedReader(self.connection)
        self.rfile = io.BufferedReader(self._reader)
        self._request_id = ""
        self._is_for_health = self.server.is_for_health(self.client_address)

    def handle_one_request(self) -> None:
        self._reader.allow(HEALTH_SECONDS if self._is_for_health else HEADER_SECONDS)
        self._request_id = ""
        super().handle_one_request()

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_GET  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself: a malformed or oversized head."""
        self.close_connection = True
        self._send(code, error_body(code, "BAD_INPUT", message or "The request is malformed."))

    def log_message(self, format: str, *args: Any) -> None:
        """Calls are logged by their records."""

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        self._request_id = choose_request_id(self.headers.get(REQUEST_ID_KEY))
        try:
            allowed = PATHS.get(path)
            if allowed is None:
                raise _Refusal(404, f"There is nothing at {path[:80]!r}.")
            if self.command != allowed:
                raise _Refusal(405, f"{path} takes {allowed}.")
            if self._is_for_health:
                self.close_connection = True
                if path not in HEALTH_PATHS:
                    raise Exhausted("All connections are taken; try again in a moment.")
            if path == "/v1/embeddings":
                self._embed()
            elif self._body_bytes(optional=True):
                raise _Refusal(413, f"{path} takes no body.")
            elif path == "/v1/models":
                self._admit()
                names = [served.activation.model for served in self.door.serving.models()]
                self._send(200, models_body(names))
            elif path == "/healthz":
                self._send(200, {"status": "ok"})
            else:
                ready = self.door.is_ready()
                self._send(200 if ready else 503, {"status": "ready" if ready else "not ready"})
        except _Refusal as e:
            # The body, if any, was not read.
            self.close_connection = True
            self._send(e.status, error_body(e.status, "BAD_INPUT", e.message))
        except RsqError as e:
            status = outcome_of(e).http_status
            self._send(status, error_body(status, e.code, e.message))

    def _admit(self) -> Identity:
        """Raises what `Guard.identify` and `Guard.permit_any` raise; the body is then not read."""
        try:
            caller = self.door.guard.identify(self.headers.get(AUTHORIZATION, ""), self._peer)
            self.door.guard.permit_any(caller, frozenset({Scope.EMBED}))
        except RsqError:
            self.close_connection = True
            raise
        return caller

    @property
    def _peer(self) -> str:
        return join_address(*self.client_address[:2])

    def _embed(self) -> None:
        size_bytes = self._body_bytes(optional=False)
        if self.headers.get_content_type() != "application/json":
            raise _Refusal(415, "The body's Content-Type is not application/json.")
        record = CallRecord(
            "http/v1/embeddings",
            self._request_id,
            self._peer,
            traceparent=self.headers.get("traceparent", ""),
        )
        with observe_call(record, self.door.on_end):
            status, answer = self._embed_within_bounds(size_bytes, record)
        self._send(status, answer)

    def _embed_within_bounds(
        self, size_bytes: int, record: CallRecord
    ) -> tuple[int, dict[str, Any]]:
        try:
            record.caller = self._admit()
            self.door.guard.take_bytes(record.caller, size_bytes)
            if not self.door.slots.acquire(blocking=False):
                self.close_connection = True  # the body was not read
                raise Exhausted(
                    f"{MAX_CONCURRENT} requests are already running here; try again in a moment."
                )
            try:
                return 200, self.door.embed(self._read(size_bytes), self._is_waiting)
            finally:
                self.door.slots.release()
        except RsqError as e:
            error = e
        except (OSError, EOFError):
            record.code = "CANCELLED"
            raise
        except Exception as e:
            log.error("unexpected failure in %s", record.method, exc_info=e)
            error = InternalError("Something went wrong on this side; its log has the details.")
        outcome = outcome_of(error)
        record.code, record.error = outcome.status, error.message
        return outcome.http_status, error_body(outcome.http_status, error.code, error.message)

    def _body_bytes(self, *, optional: bool) -> int:
        if self.headers.get("Transfer-Encoding") is not None:
            raise _Refusal(411, "Send the body with a Content-Length, not in chunks.")
        length = self.headers.get("Content-Length", "0" if optional else None)
        if length is None:
            raise _Refusal(411, "The request has no Content-Length.")
        if not (length.isascii() and length.isdigit()):
            raise _Refusal(400, "The Content-Length is not a number.")
        if len(length) > 12 or int(length) > MAX_BODY_BYTES:
            raise _Refusal(
                413, f"The body has more than {MAX_BODY_BYTES} bytes; send fewer items at once."
            )
        return int(length)

    def _read(self, size_bytes: int) -> bytes:
        self._reader.allow(BODY_SECONDS)
        body = self.rfile.read(size_bytes)
        if len(body) < size_bytes:
            raise EOFError
        return body

    def _is_waiting(self) -> bool:
        return is_connected(self.connection)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.connection.settimeout(WRITE_SECONDS)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self._request_id:
            self.send_header(REQUEST_ID_KEY, self._request_id)
        if status == 429:
            self.send_header("Retry-After", "1")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
