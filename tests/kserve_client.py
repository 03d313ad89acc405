"""Drives an agent with tritonclient, in a process of its own: both register the same protos.

Reads {"address", "texts", "images" (base64), "pixels" (nested lists)} from stdin; writes what each
step gave to stdout, an error as {"status", "message"}.
"""

from __future__ import annotations

import base64
import json
import queue
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2


def main() -> None:
    from tritonclient import grpc as triton

    given = json.load(sys.stdin)
    with triton.InferenceServerClient(given["address"]) as client:
        results = _drive(client, given)
    results["schema"] = read_schema(triton.service_pb2, triton.model_config_pb2)
    json.dump(results, sys.stdout)


def read_schema(*modules: Any) -> dict[str, Any]:
    """Messages by field, enums by value, methods by name, each as plain values."""
    schema: dict[str, Any] = {}
    for module in modules:
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        messages = [(f"{file.package}.{message.name}", message) for message in file.message_type]
        for name, message in messages:  # grows
            schema[name] = {
                field.name: [
                    field.number,
                    field.type,
                    field.type_name,
                    field.label,
                    message.oneof_decl[field.oneof_index].name
                    if field.HasField("oneof_index")
                    else "",
                ]
                for field in message.field
            }
            messages += [(f"{name}.{inner.name}", inner) for inner in message.nested_type]
        for enum in file.enum_type:
            schema[enum.name] = {value.name: [value.number] for value in enum.value}
        for service in file.service:
            schema[f"{file.package}.{service.name}"] = {
                method.name: [
                    method.input_type,
                    method.output_type,
                    method.client_streaming,
                    method.server_streaming,
                ]
                for method in service.method
            }
    return schema


def _drive(client: Any, given: dict[str, Any]) -> dict[str, Any]:
    texts = np.array([text.encode() for text in given["texts"]], object)
    images = np.array([base64.b64decode(image) for image in given["images"]], object)
    pixels = np.array(given["pixels"], np.float32)
    names = ("tiny-vision", "tiny-image", "tiny-text")
    nan = pixels.copy()
    nan[1, 0, 0, 0] = np.nan
    many = np.array([b"port"] * 257, object)

    def infer(model: str, name: str, values: Any, datatype: str = "BYTES", **options: Any) -> Any:
        return _vectors(client.infer(model, [_input(name, values, datatype)], **options))

    def raw(**fields: Any) -> Any:
        return _call_stub(client, **fields)

    def claim(contents: bytes, *shape: int) -> Any:
        return raw(model="tiny-text", name="text", shape=shape or (1,), raw=[contents])

    def ready(*names: str) -> list[bool]:
        return [client.is_model_ready(name) for name in names]

    def states() -> list[list[str]]:
        index = client.get_model_repository_index()
        return [[model.name, model.version, model.state] for model in index.models]

    def length(count: int) -> bytes:
        return struct.pack("<I", count)

    steps: dict[str, Callable[[], Any]] = {
        "live": client.is_server_live,
        "ready": client.is_server_ready,
        "server": lambda: client.get_server_metadata(as_json=True),
        "models_ready": lambda: ready(*names, "words-text", "words-image", "nope-text", "tiny"),
        "version_1_ready": lambda: client.is_model_ready("tiny-text", "1"),
        "version_9_ready": lambda: client.is_model_ready("tiny-text", "9"),
        "metadata": lambda: [client.get_model_metadata(name, as_json=True) for name in names],
        "config": lambda: [client.get_model_config(name, as_json=True) for name in names],
        "metadata_unloaded": lambda: client.get_model_metadata("words-text", as_json=True),
        "text": lambda: infer("tiny-text", "text", texts, request_id="mine", model_version="1"),
        "image": lambda: infer("tiny-image", "image", images),
        "pixels": lambda: infer("tiny-vision", "pixel_values", pixels, "FP32"),
        "text_typed": lambda: raw(model="tiny-text", name="text", bytes_contents=list(texts)),
        "image_typed": lambda: raw(model="tiny-image", name="image", bytes_contents=list(images)),
        "pixels_typed": lambda: raw(
            model="tiny-vision",
            name="pixel_values",
            datatype="FP32",
            shape=pixels.shape,
            fp32_contents=pixels.ravel().tolist(),
        ),
        "async": lambda: _infer_async(client, "tiny-text", _input("text", texts, "BYTES")),
        "stream": lambda: _stream(
            client,
            [
                ("tiny-text", _input("text", texts, "BYTES")),
                ("nope-text", _input("text", texts, "BYTES")),
                ("tiny-image", _input("image", images, "BYTES")),
            ],
        ),
        "states": states,
        "load": lambda: [client.load_model("words-text"), *ready("words-text")],
        "states_loaded": states,
        "unload": lambda: [client.unload_model("words-text"), *ready("words-text")],
        "on_demand": lambda: [infer("words-text", "text", texts), *ready("words-text")],
        "unknown_model": lambda: infer("nope-text", "text", texts),
        "unknown_kind": lambda: infer("tiny", "text", texts),
        "unknown_metadata": lambda: client.get_model_metadata("nope-text"),
        "unknown_load": lambda: client.load_model("nope-text"),
        "unknown_unload": lambda: client.unload_model("tiny-audio"),
        "absent_tower": lambda: infer("words-image", "image", images),
        "wrong_version": lambda: infer("tiny-text", "text", texts, model_version="9"),
        "wrong_shape": lambda: infer("tiny-text", "text", texts[:, None]),
        "wrong_pixels": lambda: infer("tiny-vision", "pixel_values", pixels[:, :, 1:], "FP32"),
        "wrong_datatype": lambda: infer("tiny-vision", "pixel_values", pixels * 1.0, "FP64"),
        "wrong_name": lambda: infer("tiny-image", "text", images),
        "wrong_output": lambda: infer("tiny-text", "text", texts, outputs=[_output("scores")]),
        "classes": lambda: infer("tiny-text", "text", texts, outputs=[_output(class_count=3)]),
        "nan": lambda: infer("tiny-vision", "pixel_values", nan, "FP32"),
        "too_many": lambda: infer("tiny-text", "text", many),
        "empty_batch": lambda: infer("tiny-text", "text", many[:0]),
        "bad_image": lambda: infer("tiny-image", "image", np.array([b"no image"], object)),
        "not_utf8": lambda: infer("tiny-text", "text", np.array([b"port", b"\xff"], object)),
        "lying_length": lambda: claim(length(1 << 31) + b"port"),
        "short_length": lambda: claim(length(4)[:3]),
        "trailing": lambda: claim(length(4) + b"port" + b"!"),
        "huge_shape": lambda: claim(length(4) + b"port", 1 << 62),
        "negative_shape": lambda: claim(length(4) + b"port", -1),
        "no_inputs": lambda: raw(model="tiny-text", name=None),
        "no_contents": lambda: raw(model="tiny-text", name="text", shape=(2,)),
        "both_contents": lambda: raw(
            model="tiny-text", name="text", bytes_contents=[b"port"], raw=[length(4) + b"port"]
        ),
        "config_override": lambda: client.load_model("tiny-text", config="{}"),
        "statistics": client.get_inference_statistics,
    }
    return {name: _attempt(call) for name, call in steps.items()}


def _attempt(call: Callable[[], Any]) -> Any:
    import grpc
    from tritonclient.utils import InferenceServerException

    try:
        return call()
    except InferenceServerException as e:
        return {"status": e.status(), "message": e.message()}
    except grpc.RpcError as e:
        return {"status": str(e.code()), "message": e.details()}


def _input(name: str, values: Any, datatype: str) -> Any:
    from tritonclient import grpc as triton

    values = values.astype(np.float64) if datatype == "FP64" else values
    tensor = triton.InferInput(name, values.shape, datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def _output(name: str = "embedding", class_count: int = 0) -> Any:
    from tritonclient import grpc as triton

    return triton.InferRequestedOutput(name, class_count=class_count)


def _vectors(result: Any) -> dict[str, Any]:
    reply = result.get_response()
    return {
        "rows": result.as_numpy("embedding").tolist(),
        "dtype": str(result.as_numpy("embedding").dtype),
        "model": reply.model_name,
        "version": reply.model_version,
        "id": reply.id,
        "parameters": {
            key: getattr(value, value.WhichOneof("parameter_choice"))
            for key, value in reply.parameters.items()
        },
    }


def _call_stub(
    client: Any,
    *,
    model: str,
    name: str | None,
    datatype: str = "BYTES",
    shape: tuple[int, ...] | None = None,
    raw: list[bytes] | None = None,
    **contents: Any,
) -> Any:
    """A request that tritonclient's own functions would not build."""
    import tritonclient.grpc as triton

    request = triton.service_pb2.ModelInferRequest(model_name=model, raw_input_contents=raw or [])
    if name is not None:
        tensor = request.inputs.add(name=name, datatype=datatype)
        tensor.shape.extend(shape or (len(contents["bytes_contents"]),))
        for field, values in contents.items():
            getattr(tensor.contents, field).extend(values)
    return _vectors(triton.InferResult(client._client_stub.ModelInfer(request)))


def _infer_async(client: Any, model: str, tensor: Any) -> Any:
    answers: queue.Queue[Any] = queue.Queue()
    client.async_infer(model, [tensor], lambda result, error: answers.put((result, error)))
    result, error = answers.get(timeout=20)
    if error is not None:
        raise error
    return _vectors(result)


def _stream(client: Any, requests: list[tuple[str, Any]]) -> list[Any]:
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number, (model, tensor) in enumerate(requests):
        client.async_stream_infer(model, [tensor], request_id=f"request {number}")
    replies = []
    for _ in requests:
        result, error = answers.get(timeout=20)
        replies.append({"error": error.message()} if error is not None else _vectors(result))
    client.stop_stream()
    return replies


if __name__ == "__main__":
    main()
