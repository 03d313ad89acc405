"""Every recipe on rsq-siglip-small and 1,027 AID images: what it keeps of FP32's search, and what
it costs against int8. Calibrated on AID's calibration split. Recipes that lose are shown too."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from base_towers import DATA, IMAGES, cpu_name
from bench_quantization import ort_run, time_alone
from programs import Programs

from rsq.manifest import TOWERS, Tower, decode_manifest
from rsq_server.app import open_stores
from rsq_server.config import ServerConfig

REPOSITORY = Path(__file__).resolve().parent.parent
SHOWN = (
    "top1_match", "top1_match_low", "top1_match_high", "top3_match", "top3_match_low",
    "top3_match_high", "overlap_at_10", "overlap_at_10_low", "overlap_at_10_high",
    "recall_at_10_change", "recall_at_10_change_low", "recall_at_10_change_high",
    "image_recall_at_10_change", "zero_shot_change", "kendall_tau", "similarity_correlation",
)  # fmt: skip


def run(home: Path, variants: str) -> dict[str, Any]:
    programs = Programs(home)
    checkpoint = DATA / "models" / "rsq-siglip-small"
    published = programs.run(
        "rsq-server", "publish", checkpoint, "--name", "small", "--variants", variants,
        "--calibration", IMAGES, "--evaluation", IMAGES, "--keep-rejected", "--json",
    ).json()  # fmt: skip
    pairs = {p["vision"]: p["evaluation"] for p in published["pairs"] if p["vision"] == p["text"]}
    times = {tower: _time(home, published, tower) for tower in TOWERS}
    rows = {}
    for variant, metrics in pairs.items():
        own = {a["tower"]: a for a in published["artifacts"] if a["variant"] == variant}
        rows[variant] = {
            **{name: metrics[name] for name in SHOWN if name in metrics},
            "size_bytes": {tower: own[tower]["size_bytes"] for tower in TOWERS},
            "cosine_mean": {tower: own[tower]["evaluation"]["cosine_mean"] for tower in TOWERS},
            "cosine_min": {tower: own[tower]["evaluation"]["cosine_min"] for tower in TOWERS},
            "batch_cosine_min": {
                tower: own[tower]["evaluation"]["batch_cosine_min"] for tower in TOWERS
            },
            "cpu_ms": {
                tower: times[tower][variant]["cpu_ms"]
                for tower in TOWERS
                if variant in times[tower]
            },
        }
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": 1,
        "images": 1027,
        "rows": rows,
        "refused": published["refused"],
        "notes": published["notes"],
    }


def _time(home: Path, published: dict[str, Any], tower: Tower) -> dict[str, Any]:
    """CPU milliseconds of one item with one thread, all ONNX variants of the tower interleaved."""
    config = ServerConfig(home / "server")
    with tempfile.TemporaryDirectory() as name, open_stores(config) as stores:
        runs = {}
        for artifact in published["artifacts"]:
            if artifact["tower"] != tower or artifact["variant"] == "int8-torch":
                continue
            folder = Path(name) / artifact["variant"]
            folder.mkdir()
            manifest = decode_manifest(stores.catalogue.artifact_manifest(artifact["id"]))
            for entry in manifest.files:
                if entry.role in ("graph", "weights"):
                    data = stores.blobs.read(entry.sha256, 0, entry.size_bytes)
                    (folder / entry.name).write_bytes(data)
            runs[artifact["variant"]] = ort_run(folder, tower, 1)
        random = np.random.default_rng(0)
        row: Any = (
            random.normal(size=(1, 3, 128, 128)).astype(np.float32)
            if tower == "vision"
            else random.integers(3, 30_000, (1, 64))
        )
        return time_alone(runs, row, rounds=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", default="all")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/recipes.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = run(Path(name), options.variants)
    base = found["rows"].get("int8", {}).get("cpu_ms", {})
    for variant, row in found["rows"].items():
        cost = [
            f"{row['cpu_ms'][t] / base[t]:.2f}" for t in TOWERS if t in row["cpu_ms"] and t in base
        ]
        print(
            f"{variant:24s} top-1 {row['top1_match']:.2%} "
            f"[{row['top1_match_low']:.2%}, {row['top1_match_high']:.2%}] "
            f"top-3 {row['top3_match']:.2%} overlap@10 {row['overlap_at_10']:.2%} "
            f"R@10 {100 * row['recall_at_10_change']:+.2f} "
            f"zero-shot {100 * row['zero_shot_change']:+.2f} "
            f"MB {row['size_bytes']['vision'] / 1e6:.1f} + {row['size_bytes']['text'] / 1e6:.1f} "
            f"time against int8 {' / '.join(cost)}"
        )
    print(found["refused"], found["notes"])
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(f"Wrote {options.out}.")


if __name__ == "__main__":
    main()
