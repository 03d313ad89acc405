"""One interceptor sees every call: it gives a failure its status (public text out, details to the
log), bounds how many run at once, and keeps the record of each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from rsq.call_record import CallRecord, observe_call
from rsq.error_catalog import outcome_of
from rsq.errors import Exhausted, InternalError, RsqError
from rsq.logs import log_call
from rsq.request_id import REQUEST_ID_KEY, choose_request_id
from rsq.wire.status import to_status

log = logging.getLogger("rsq.rpc")
_EXEMPT = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.",
    "/inference.GRPCInferenceService/ServerLive",
)


class CallInterceptor(grpc.ServerInterceptor):
    """Turns what a servicer raises into a status, and bounds how many calls run at once.

    Health and reflection are outside of all this, so that a loaded server still answers for itself.
    `on_end` hears of every other call, after its line was logged. The request id goes back in the
    trailing metadata.
    """

    def __init__(
        self, *, max_concurrent: int, on_end: Sequence[Callable[[CallRecord], None]] = ()
    ) -> None:
        self._slots = threading.BoundedSemaphore(max_concurrent)
        self._max_concurrent = max_concurrent
        self._on_end = (log_call, *on_end)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_EXEMPT):
            return handler
        name = method.removeprefix("/")
        if handler.response_streaming:
            wrap = self._streaming(handler.unary_stream or handler.stream_stream, name)
            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
        else:
            wrap = self._unary(handler.unary_unary or handler.stream_unary, name)
            make = (
                grpc.stream_unary_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_unary_rpc_method_handler
            )
        return make(wrap, handler.request_deserializer, handler.response_serializer)

    def _unary(self, behaviour: Any, method: str) -> Callable[[Any, grpc.ServicerContext], Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            with observe_call(_open_record(context, method), self._on_end) as record:
                self._take_slot(context, record)
                try:
                    return behaviour(request, context)
                except Exception as e:  # noqa: BLE001 - the door: everything gets a status here
                    _abort(context, e, record)
                finally:
                    self._slots.release()

        return call

    def _streaming(
        self, behaviour: Any, method: str
    ) -> Callable[[Any, grpc.ServicerContext], Iterator[Any]]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with observe_call(_open_record(context, method), self._on_end) as record:
                self._take_slot(context, record)
                try:
                    yield from behaviour(request, context)
                except GeneratorExit:
                    record.code = "CANCELLED"  # the caller has gone in the middle
                    raise
                except Exception as e:  # noqa: BLE001 - the door: everything gets a status here
                    _abort(context, e, record)
                finally:
                    self._slots.release()

        return call

    def _take_slot(self, context: grpc.ServicerContext, record: CallRecord) -> None:
        if not self._slots.acquire(blocking=False):
            error = Exhausted(
                f"{self._max_concurrent} calls are already running here; try again in a moment."
            )
            _end_with(context, error, record)


def _open_record(context: grpc.ServicerContext, method: str) -> CallRecord:
    offered = dict(context.invocation_metadata() or ())
    request_id = choose_request_id(_text(offered.get(REQUEST_ID_KEY)))
    context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
    return CallRecord(
        method, request_id, context.peer(), traceparent=_text(offered.get("traceparent"))
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
