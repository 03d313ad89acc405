"""One interceptor gives every failure its status: public text out, details to the log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from rsq.errors import Exhausted, InternalError, RsqError
from rsq.wire.status import to_status

log = logging.getLogger("rsq.rpc")
_EXEMPT = ("/grpc.health.v1.Health/", "/grpc.reflection.")


class ErrorInterceptor(grpc.ServerInterceptor):
    """Turns what a servicer raises into a status, and bounds how many calls run at once.

    Health and reflection are outside the bound, so that a loaded server still answers for itself.
    """

    def __init__(self, *, max_concurrent: int) -> None:
        self._slots = threading.BoundedSemaphore(max_concurrent)
        self._max_concurrent = max_concurrent

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_EXEMPT):
            return handler
        if handler.response_streaming:
            wrap = self._streaming(handler.unary_stream or handler.stream_stream, method)
            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
        else:
            wrap = self._unary(handler.unary_unary or handler.stream_unary, method)
            make = (
                grpc.stream_unary_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_unary_rpc_method_handler
            )
        return make(wrap, handler.request_deserializer, handler.response_serializer)

    def _unary(self, behaviour: Any, method: str) -> Callable[[Any, grpc.ServicerContext], Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            self._take_slot(context)
            try:
                return behaviour(request, context)
            except Exception as e:  # noqa: BLE001 - the door: everything gets a status here
                _abort(context, e, method)
            finally:
                self._slots.release()

        return call

    def _streaming(
        self, behaviour: Any, method: str
    ) -> Callable[[Any, grpc.ServicerContext], Iterator[Any]]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            self._take_slot(context)
            try:
                yield from behaviour(request, context)
            except Exception as e:  # noqa: BLE001 - the door: everything gets a status here
                _abort(context, e, method)
            finally:
                self._slots.release()

        return call

    def _take_slot(self, context: grpc.ServicerContext) -> None:
        if not self._slots.acquire(blocking=False):
            error = Exhausted(
                f"{self._max_concurrent} calls are already running here; try again in a moment."
            )
            context.abort_with_status(rpc_status.to_status(to_status(error)))


def _abort(context: grpc.ServicerContext, failure: Exception, method: str) -> NoReturn:
    if isinstance(failure, RsqError):
        error = failure
    elif not context.is_active():
        raise failure  # the caller has gone; grpc ends the call by itself
    else:
        log.error("unexpected failure in %s", method, exc_info=failure)
        error = InternalError("Something went wrong on this side; its log has the details.")
    context.abort_with_status(rpc_status.to_status(to_status(error)))
    raise AssertionError  # abort_with_status raises; this tells the type checker
