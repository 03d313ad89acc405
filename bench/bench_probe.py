"""The golden probe against faults, on real artifacts: what it catches, and whether it ever refuses
a healthy one.

The artifacts are those of models/rsq-siglip-small in several variants, built as publishing does.
Every fault of probe_faults.py is put into each of them; then healthy ones are activated again and
again, each time with a new session.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from base_towers import cpu_name
from probe_faults import Verdict, activate, faults_of, inject

from rsq.manifest import TOWERS, Tower
from rsq_server.build.artifact import BuiltArtifact
from rsq_server.build.construction import build_artifacts, export_towers, read_facts
from rsq_server.build.load import load_encoder
from rsq_server.datasets.generated import generated_set
from rsq_server.progress import SilentProgress
from rsq_server.recipes import RECIPES, find_recipes

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("RSQ_DATA", REPOSITORY.parent / "shared" / "data"))
CHECKPOINT = DATA / "models" / "rsq-siglip-small"
VARIANTS = ("fp32", "fp16", "int8", "int8-static")
CLEAN_ACTIVATIONS = 500

Artifacts = dict[tuple[Tower, str], BuiltArtifact]


def build(checkpoint: Path, variants: list[str], work: Path) -> Artifacts:
    encoder = load_encoder(checkpoint, work_folder=work)
    export_towers(encoder, work, SilentProgress())
    facts = read_facts(encoder, "0" * 64, work)
    del encoder
    made = build_artifacts(
        find_recipes(variants, RECIPES),
        facts,
        generated_set("calibration", per_class=2),
        work,
        SilentProgress(),
    )
    if made.refusals:
        raise RuntimeError(f"Not every variant could be built: {made.refusals}")
    return {(one.tower, one.variant): one for one in made.artifacts}


def inject_all(artifacts: Artifacts, work: Path) -> list[dict[str, Any]]:
    """One row for each fault, tower and variant."""
    rows = []
    for (tower, variant), artifact in artifacts.items():
        other = artifacts[("text" if tower == "vision" else "vision", variant)]
        for name, fault in faults_of(tower).items():
            verdict = inject(fault, artifact, other, work)
            rows.append({"fault": name, "tower": tower, "variant": variant, **_fields(verdict)})
    return rows


def activate_clean(artifacts: Artifacts, count: int) -> dict[str, Any]:
    """`count` activations of healthy artifacts in turn, with one thread and with two."""
    alarms: list[str] = []
    margins: dict[str, float] = {}
    healthy = list(artifacts.values())
    for number in range(count):
        artifact = healthy[number % len(healthy)]
        threads = 1 + (number // len(healthy)) % 2
        verdict = activate(lambda a=artifact, t=threads: a.open(threads=t), artifact)  # type: ignore[misc]
        if verdict.caught:
            alarms.append(f"{artifact}, {threads} threads: {verdict.reason}")
        if verdict.result is not None:
            margin = verdict.result.own_cosine_min - artifact.manifest.probe.own_cosine_min
            margins[str(artifact)] = min(margins.get(str(artifact), 1.0), margin)
    return {"activations": count, "false_alarms": alarms, "least_margin_of_own_cosine": margins}


def _fields(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = {"caught": verdict.caught, "reason": verdict.reason}
    if verdict.result is not None:
        found["own_cosine_min"] = verdict.result.own_cosine_min
        found["fp32_cosine_min"] = verdict.result.fp32_cosine_min
    return found


def run(checkpoint: Path, variants: list[str], count: int, work: Path) -> dict[str, Any]:
    begun = time.perf_counter()
    artifacts = build(checkpoint, variants, work)
    rows = inject_all(artifacts, work)
    clean = activate_clean(artifacts, count)
    tolerances = {
        str(artifact): {
            "own_cosine_min": artifact.manifest.probe.own_cosine_min,
            "fp32_cosine_min": artifact.manifest.probe.fp32_cosine_min,
        }
        for artifact in artifacts.values()
    }
    return {
        "device": cpu_name(),
        "seconds": time.perf_counter() - begun,
        "injected": len(rows),
        "caught": sum(row["caught"] for row in rows),
        "missed": [row for row in rows if not row["caught"]],
        "clean": clean,
        "tolerances": tolerances,
        "faults": rows,
    }


def show(found: dict[str, Any]) -> None:
    rows = found["faults"]
    for tower in TOWERS:
        print(f"{tower}:")
        for name in faults_of(tower):
            of_fault = [row for row in rows if row["tower"] == tower and row["fault"] == name]
            cosines = [row["own_cosine_min"] for row in of_fault if "own_cosine_min" in row]
            closest = f"{max(cosines):.6f}" if cosines else "did not answer"
            caught = sum(row["caught"] for row in of_fault)
            print(f"  {name:46} caught {caught}/{len(of_fault)}, closest cosine {closest}")
    print(f"caught {found['caught']} of {found['injected']}")
    for row in found["missed"]:
        needed = found["tolerances"][f"{row['tower']} {row['variant']}"]["own_cosine_min"]
        print(
            f"  MISSED: {row['fault']} in {row['tower']} {row['variant']}: cosine "
            f"{row['own_cosine_min']:.6f}, refused below {needed:.6f}"
        )
    clean = found["clean"]
    print(f"{len(clean['false_alarms'])} false alarms in {clean['activations']} clean activations")
    for alarm in clean["false_alarms"]:
        print(f"  {alarm}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--clean", type=int, default=CLEAN_ACTIVATIONS)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/probe.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = run(options.checkpoint, options.variants.split(","), options.clean, Path(name))
    show(found)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
