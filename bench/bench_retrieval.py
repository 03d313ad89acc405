"""Retrieval on real images through the agent: R@1, 5 and 10 of every caption against brute-force
numpy over the same embeddings, in FP32, in INT8, and searched across.

Publishes models/rsq-siglip-small, pulls each variant in turn, indexes the AID test images and asks
for every caption. All of an image's captions are queries, so recall is that the image is among the
first k.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from base_towers import cpu_name
from bench_main_job import DATA, Rows
from numpy.typing import NDArray
from programs import Programs

from rsq.client import Client
from rsq.retrieval import IndexItem

MODEL = "small"
VARIANTS = ("fp32", "int8")
DEPTHS = (1, 5, 10)

Places = NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--save", type=Path, help="write the FP32 image vectors here (.npy)")
    options = parser.parse_args()
    folder = DATA / "aid-rsicd"
    lines = (folder / "captions.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "test"]
    files = {row["image"]: (folder / row["image"]).read_bytes() for row in rows}
    queries = [(caption, row["image"]) for row in rows for caption in row["captions"]]
    with tempfile.TemporaryDirectory() as home:
        results = measure(Programs(Path(home)), files, queries, options.save)
    report = {"cpu": cpu_name(), "images": len(files), "captions": len(queries), **results}
    print(json.dumps(report, indent=2))
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=2) + "\n")


def measure(
    programs: Programs, files: dict[str, bytes], queries: list[tuple[str, str]], save: Path | None
) -> dict[str, Any]:
    data = str(DATA / "aid-rsicd")
    programs.run(
        "rsq-server", "publish", str(DATA / "models" / "rsq-siglip-small"), "--name", MODEL,
        "--variants", ",".join(VARIANTS), "--calibration", data, "--evaluation", data,
    )  # fmt: skip
    results: dict[str, Any] = {}
    images: dict[str, Rows] = {}
    texts: dict[str, Rows] = {}
    captions = [caption for caption, _ in queries]
    truth = np.array([list(files).index(image) for _, image in queries])
    with programs.serve_registry():
        for variant in VARIANTS:
            programs.pull(MODEL, "--pin", variant)
            with programs.serve_agent(), Client(programs.agent) as client:
                items = [IndexItem(name, file) for name, file in files.items()]
                assert all(row.error is None for row in client.index(items, collection=variant))
                images[variant] = client.embed_image(list(files.values()))
                texts[variant] = client.embed_text(captions)
                results[f"{variant} x {variant}, brute force"] = recall(
                    np.argsort(-(texts[variant] @ images[variant].T), axis=1), truth
                )
                found = search(client, variant, captions, list(files))
                results[f"{variant} x {variant}, agent"] = recall(found, truth)
    if save is not None:
        np.save(save, images["fp32"])
    for vision, text in (("int8", "fp32"), ("fp32", "int8")):
        order = np.argsort(-(texts[text] @ images[vision].T), axis=1)
        results[f"{vision} images x {text} texts, brute force"] = recall(order, truth)
    return results


def search(client: Client, collection: str, captions: list[str], names: list[str]) -> Places:
    """Places of the first hits of each caption, [q, 10]."""
    places = {name: place for place, name in enumerate(names)}
    k = max(DEPTHS)
    return np.array(
        [
            [places[hit.uri] for hit in client.search(text=caption, k=k, collection=collection)]
            for caption in captions
        ]
    )


def recall(order: Places, truth: Places) -> dict[str, float]:
    hits = order[:, : max(DEPTHS)] == truth[:, None]
    return {f"r_at_{k}": round(100 * float(hits[:, :k].any(axis=1).mean()), 2) for k in DEPTHS}


if __name__ == "__main__":
    main()
