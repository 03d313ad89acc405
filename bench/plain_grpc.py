"""ONNX Runtime behind a plain gRPC handler, as one writes it in an afternoon: no queue, no checks,
no batching. For bench_peers.

Usage: python plain_grpc.py VISION_GRAPH TEXT_GRAPH TOKENIZER SIDE THREADS; prints its address.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import grpc
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

from rsq.onnx_session import session_options

SERVICE = "plain.Embedding"


def open_session(graph: str, threads: int) -> ort.InferenceSession:
    options = session_options(threads)
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def main() -> None:
    vision_graph, text_graph, tokenizer_path, side, threads = sys.argv[1:]
    vision = open_session(vision_graph, int(threads))
    text = open_session(text_graph, int(threads))
    tokenizer = Tokenizer.from_file(tokenizer_path)
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding(length=64, pad_id=1)

    def embed_image(data: bytes, context: grpc.ServicerContext) -> bytes:
        image = Image.open(BytesIO(data)).convert("RGB").resize((int(side),) * 2, Image.BICUBIC)
        pixels = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
        return encode(vision.run(None, {"pixel_values": pixels})[0])

    def embed_text(data: bytes, context: grpc.ServicerContext) -> bytes:
        ids = np.array([tokenizer.encode(data.decode().lower()).ids], np.int64)
        return encode(text.run(None, {"input_ids": ids})[0])

    server = grpc.server(ThreadPoolExecutor(8))
    handlers = {
        "EmbedImage": grpc.unary_unary_rpc_method_handler(embed_image),
        "EmbedText": grpc.unary_unary_rpc_method_handler(embed_text),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


def encode(rows: NDArray[np.float32]) -> bytes:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype("<f4").tobytes()


if __name__ == "__main__":
    main()
