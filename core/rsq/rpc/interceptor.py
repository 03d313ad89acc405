"""One interceptor sees every call: it has the guard admit it, gives a failure its status (public
text out, details to the log), bounds how many run at once, and keeps the record of each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from rsq.call_record import CallRecord, observe_call
from rsq.error_catalog import outcome_of
from rsq.errors import BadInput, Exhausted, InternalError, RsqError
from rsq.logs import log_call
from rsq.request_id import REQUEST_ID_KEY, choose_request_id
from rsq.rpc.authorization import AUTHORIZATION
from rsq.rpc.guard import Guard, is_open
from rsq.rpc.request_summary import summarize
from rsq.rpc.scopes import changes_something
from rsq.wire.status import to_status

log = logging.getLogger("rsq.rpc")
_UNBOUNDED = ("inference.GRPCInferenceService/ServerLive",)  # a loaded server still says so


class CallInterceptor(grpc.ServerInterceptor):
    """Turns what a servicer raises into a status, and bounds how many calls run at once.

    A request is parsed once `guard` has admitted its call, so that a stranger's bytes reach no
    parser. Health is outside of all this: it answers everyone, however busy the rest is. `on_end`
    hears of every other call, after its line was logged. The request id goes back in the trailing
    metadata.
    """

    def __init__(
        self,
        *,
        max_concurrent: int,
        guard: Guard,
        on_end: Sequence[Callable[[CallRecord], None]] = (),
    ) -> None:
        self._slots = threading.BoundedSemaphore(max_concurrent)
        self._max_concurrent = max_concurrent
        self._guard = guard
        self._on_end = (log_call, *on_end)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = continuation(handler_call_details)
        method = handler_call_details.method.removeprefix("/")
        if handler is None or is_open(method):
            return handler
        if handler.response_streaming:
            wrap = self._streaming(handler, method)
            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
        else:
            wrap = self._unary(handler, method)
            make = (
                grpc.stream_unary_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_unary_rpc_method_handler
            )
        # Without a deserializer the bytes arrive here as they were sent.
        return make(wrap, None, handler.response_serializer)

    def _unary(
        self, handler: grpc.RpcMethodHandler[Any, Any], method: str
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        behaviour: Any = handler.unary_unary or handler.stream_unary

        def call(sent: Any, context: grpc.ServicerContext) -> Any:
            with self._answering(context, method) as record:
                return behaviour(self._read(sent, handler, record), context)

        return call

    def _streaming(
        self, handler: grpc.RpcMethodHandler[Any, Any], method: str
    ) -> Callable[[Any, grpc.ServicerContext], Iterator[Any]]:
        behaviour: Any = handler.unary_stream or handler.stream_stream

        def call(sent: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with self._answering(context, method) as record:
                yield from behaviour(self._read(sent, handler, record), context)

        return call

    @contextmanager
    def _answering(self, context: grpc.ServicerContext, method: str) -> Iterator[CallRecord]:
        """Admits the call, holds a slot for it, and gives what goes wrong inside its status."""
        metadata = dict(context.invocation_metadata() or ())
        with observe_call(_open_record(context, method, metadata), self._on_end) as record:
            try:
                record.caller = self._guard.identify(
                    _text(metadata.get(AUTHORIZATION)), record.peer
                )
                self._guard.permit(record.caller, method)
                with self._slot(method):
                    yield record
            except GeneratorExit:
                record.code = "CANCELLED"  # the caller has gone in the middle
                raise
            except Exception as e:  # noqa: BLE001 - the door: everything gets a status here
                _abort(context, e, record)

    @contextmanager
    def _slot(self, method: str) -> Iterator[None]:
        if method in _UNBOUNDED:
            yield
            return
        if not self._slots.acquire(blocking=False):
            raise Exhausted(
                f"{self._max_concurrent} calls are already running here; try again in a moment."
            )
        try:
            yield
        finally:
            self._slots.release()

    def _read(self, sent: Any, handler: grpc.RpcMethodHandler[Any, Any], record: CallRecord) -> Any:
        """The request of `sent` bytes, or an iterator over the requests of a stream of them."""

        def parse(message: bytes) -> Any:
            assert record.caller is not None
            self._guard.take_bytes(record.caller, len(message))
            if handler.request_deserializer is None:
                return message
            try:
                request = handler.request_deserializer(message)
            except Exception as e:
                raise BadInput("The request is not a message of this call.") from e
            if not record.request and changes_something(record.method):
                record.request = summarize(request)
            return request

        return map(parse, sent) if handler.request_streaming else parse(sent)


def _open_record(
    context: grpc.ServicerContext, method: str, metadata: Mapping[str, str | bytes]
) -> CallRecord:
    request_id = choose_request_id(_text(metadata.get(REQUEST_ID_KEY)))
    context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
    return CallRecord(
        method, request_id, context.peer(), traceparent=_text(metadata.get("traceparent"))
    )


def _abort(context: grpc.ServicerContext, failure: Exception, record: CallRecord) -> NoReturn:
    if isinstance(failure, RsqError):
        _end_with(context, failure, record)
    if not context.is_active():
        record.code = "CANCELLED"
        raise failure  # the caller has gone; grpc ends the call by itself
    log.error("unexpected failure in %s", record.method, exc_info=failure)
    error = InternalError("Something went wrong on this side; its log has the details.")
    _end_with(context, error, record)


def _end_with(context: grpc.ServicerContext, error: RsqError, record: CallRecord) -> NoReturn:
    record.code = outcome_of(error).status
    record.error = error.message
    status = rpc_status.to_status(to_status(error))
    # A status brings trailing metadata of its own, in place of what was set before.
    metadata = (*status.trailing_metadata, (REQUEST_ID_KEY, record.request_id))
    context.abort_with_status(status._replace(trailing_metadata=metadata))
    raise AssertionError  # abort_with_status raises; this tells the type checker


def _text(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else ""
