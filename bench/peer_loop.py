"""A library's own loop over images and texts, in an environment of its own, for bench_peers.

Usage: python peer_loop.py transformers|sentence-transformers CHECKPOINT IMAGES TEXTS.json THREADS.
IMAGES is a folder of files. Each line "image|text BATCH SECONDS" on stdin runs the loop for that
long and prints items a second. Imports nothing of rsq.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image


def open_transformers(checkpoint: str) -> dict[str, Callable[[list[Any]], Any]]:
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(checkpoint)

    def images(files: list[bytes]) -> Any:
        opened = [Image.open(BytesIO(data)).convert("RGB") for data in files]
        with torch.inference_mode():
            return model.get_image_features(**processor(images=opened, return_tensors="pt"))

    def texts(lines: list[str]) -> Any:
        with torch.inference_mode():
            return model.get_text_features(
                **processor(
                    text=lines,
                    padding="max_length",
                    max_length=64,
                    truncation=True,
                    return_tensors="pt",
                )
            )

    return {"image": images, "text": texts}


def open_sentence_transformers(checkpoint: str) -> dict[str, Callable[[list[Any]], Any]]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(checkpoint, device="cpu", model_kwargs={"dtype": torch.float32})

    def images(files: list[bytes]) -> Any:
        opened = [Image.open(BytesIO(data)).convert("RGB") for data in files]
        return model.encode(opened, batch_size=len(opened), show_progress_bar=False)

    def texts(lines: list[str]) -> Any:
        return model.encode(lines, batch_size=len(lines), show_progress_bar=False)

    return {"image": images, "text": texts}


def main() -> None:
    library, checkpoint, folder, texts_path, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    items: dict[str, list[Any]] = {
        "image": [path.read_bytes() for path in sorted(Path(folder).iterdir())],
        "text": json.loads(Path(texts_path).read_text()),
    }
    openers = {
        "transformers": open_transformers,
        "sentence-transformers": open_sentence_transformers,
    }
    calls = openers[library](checkpoint)
    for kind, call in calls.items():
        call(items[kind][:1])
    print("ready", flush=True)
    for line in sys.stdin:
        kind, batch, seconds = line.split()
        endless = itertools.cycle(items[kind])
        count, begun = 0, time.perf_counter()
        while time.perf_counter() < begun + float(seconds):
            calls[kind](list(itertools.islice(endless, int(batch))))
            count += int(batch)
        print(count / (time.perf_counter() - begun), flush=True)


if __name__ == "__main__":
    main()
