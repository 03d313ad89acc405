"""FP32 exports of a checkpoint and INT8 variants of them, for benchmarks that need no registry."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.manifest import TOWERS, Tower
from rsq_server.build.assembly import CheckpointFacts
from rsq_server.build.calibration import CheckpointPreparer
from rsq_server.build.calibration_rows import CalibrationRows, read_calibration
from rsq_server.build.construction import export_towers, read_facts
from rsq_server.build.load import load_encoder
from rsq_server.build.tower_builder import TowerBuilder
from rsq_server.datasets.loading import load_calibration_set
from rsq_server.progress import SilentProgress
from rsq_server.recipes import RECIPES

DATA = Path(os.environ.get("RSQ_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
IMAGES = DATA / "aid-rsicd"


@dataclass(frozen=True)
class BaseTowers:
    """Exports below `work`, and what they are calibrated with."""

    work: Path
    facts: CheckpointFacts
    rows: dict[Tower, CalibrationRows]

    def folder(self, tower: Tower, variant: str) -> Path:
        return self.work / f"{tower}-{variant}"

    def builder(self, tower: Tower) -> TowerBuilder:
        return TowerBuilder(
            tower,
            self.work / f"{tower}-export",
            image_size=(self.facts.image.height, self.facts.image.width),
            calibration=self.rows[tower],
            journal_folder=None,
        )

    def build(self, variants: list[str]) -> None:
        """Each of `variants` of both towers; FP32 is the export itself."""
        for tower in TOWERS:
            builder = self.builder(tower)
            for variant in variants:
                builder.build(RECIPES[variant], self.folder(tower, variant))

    def test_inputs(self, tower: Tower, count: int) -> NDArray[Any]:
        """AID's test images, or their first captions, spread over the split."""
        lines = (IMAGES / "captions.jsonl").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if row["split"] == "test"]
        chosen = rows[:: max(1, len(rows) // count)][:count]
        preparer = CheckpointPreparer(self.facts.image, self.facts.text, self.tokenizer)
        if tower == "text":
            return preparer.prepare_texts([row["captions"][0] for row in chosen])
        return np.stack(
            [preparer.prepare_image((IMAGES / row["image"]).read_bytes()) for row in chosen]
        )

    @property
    def tokenizer(self) -> Path:
        return self.work / "tokenizer.json"


def export_base(checkpoint: Path, work: Path) -> BaseTowers:
    """Exports `checkpoint` below a new folder `work`, calibrated on AID's calibration split."""
    work.mkdir(parents=True)
    encoder = load_encoder(checkpoint, work_folder=work)
    export_towers(encoder, work, SilentProgress())
    facts = read_facts(encoder, "0" * 64, work)
    del encoder
    preparer = CheckpointPreparer(facts.image, facts.text, work / "tokenizer.json")
    exports: dict[Tower, Path] = {tower: work / f"{tower}-export" for tower in TOWERS}
    rows = read_calibration(load_calibration_set(IMAGES), preparer, exports)
    return BaseTowers(work, facts, rows)


INTEGER_INSTRUCTIONS = ("amx_int8", "avx512_vnni", "avx_vnni", "avx2")  # fastest first


def cpu_name() -> str:
    """With the instructions that INT8 runs by, which tell CPUs of one name apart."""
    facts = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags", "").split()
    best = next((name for name in INTEGER_INSTRUCTIONS if name in flags), "")
    return ", ".join(filter(None, [facts.get("model name", "unknown"), best]))
