"""What a node that has one version fetches for the next, at SigLIP-base's size: after a fine-tune
of the heads alone, after another calibration of INT8, and after training everything anew.

Counts the chunks of the new artifact that are in none of the old one's files, which is what a pull
moves (tests/integration/test_reuse.py).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from base_towers import BaseTowers, cpu_name, export_base
from make_base_checkpoint import make_checkpoint
from safetensors.torch import load_file, save_file

from rsq.chunks import chunk_range, describe_file
from rsq.manifest import TOWERS, Tower
from rsq_server.build.calibration import CheckpointPreparer
from rsq_server.build.calibration_rows import read_calibration
from rsq_server.datasets.generated import generated_set

REPOSITORY = Path(__file__).resolve().parent.parent
VARIANTS = ["fp16", "int8"]
HEADS = ("vision_model.head.", "text_model.head.")


def run(work: Path) -> dict[str, Any]:
    make_checkpoint(work / "first")
    old = _build(work / "first", work / "old")
    for change in ("heads", "everything"):
        _train(work / "first", work / change, only_heads=change == "heads")
    rows = {
        "heads fine-tuned": _compare(old, _build(work / "heads", work / "new-heads")),
        "everything trained": _compare(old, _build(work / "everything", work / "new-everything")),
        "INT8 calibrated anew": _compare(old, _recalibrate(old, work), ["int8"]),
    }
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "fetched_share": rows}


def _build(checkpoint: Path, folder: Path) -> BaseTowers:
    towers = export_base(checkpoint, folder)
    towers.build(VARIANTS)
    return towers


def _train(source: Path, target: Path, *, only_heads: bool) -> None:
    """A copy of the checkpoint in which training has moved every weight a little, or the heads'."""
    target.mkdir()
    for file in source.iterdir():
        if file.suffix != ".safetensors":
            (target / file.name).write_bytes(file.read_bytes())
    weights = load_file(source / "model.safetensors")
    torch.manual_seed(1)
    for name, weight in weights.items():
        if weight.is_floating_point() and (not only_heads or name.startswith(HEADS)):
            weights[name] = weight * (1 + 0.01 * torch.randn_like(weight))
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})


def _recalibrate(old: BaseTowers, work: Path) -> BaseTowers:
    """The same exports, INT8 calibrated on generated scenes instead of AID's images."""
    folder = work / "recalibrated"
    folder.mkdir()
    exports: dict[Tower, Path] = {}
    for tower in TOWERS:
        exports[tower] = folder / f"{tower}-export"
        exports[tower].symlink_to(old.folder(tower, "export"))
    preparer = CheckpointPreparer(old.facts.image, old.facts.text, old.tokenizer)
    scenes = generated_set("calibration", per_class=10)
    towers = BaseTowers(folder, old.facts, read_calibration(scenes, preparer, exports))
    towers.build(["int8"])
    return towers


def _compare(
    old: BaseTowers, new: BaseTowers, variants: list[str] | None = None
) -> dict[str, dict[str, float]]:
    names = variants or ["fp32", *VARIANTS]
    return {
        variant: {tower: _fetched_share(old, new, tower, variant) for tower in TOWERS}
        for variant in names
    }


def _fetched_share(old: BaseTowers, new: BaseTowers, tower: Tower, variant: str) -> float:
    folder = "export" if variant == "fp32" else variant
    known = {digest for entry in _describe(old.folder(tower, folder)) for digest in entry.chunks}
    fetched = total = 0
    for entry in _describe(new.folder(tower, folder)):
        for index, digest in enumerate(entry.chunks):
            length = chunk_range(entry, index)[1]
            total += length
            fetched += 0 if digest in known else length
    return fetched / total


def _describe(folder: Path) -> list[Any]:
    return [
        describe_file(path, role="weights", name=path.name)
        for path in sorted(folder.iterdir())
        if path.is_file()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/versions.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = run(Path(name))
    for change, rows in found["fetched_share"].items():
        for variant, shares in rows.items():
            listed = ", ".join(f"{tower} {share:.1%}" for tower, share in shares.items())
            print(f"{change:22s} {variant:6s} {listed}")
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
