"""What each precision is worth on this machine's GPU, through each provider and through torch:
time, throughput, device memory by NVML against its prediction, cosines of the golden probe, and
what the latency gate says.

`bench_gpu.py [CHECKPOINT]`, with SigLIP-base's shape and random weights unless a checkpoint's
folder is named. It runs from the repository's folder, installed or not, and needs torch for CUDA,
transformers, onnx, onnxscript, onnxruntime-gpu and nvidia-ml-py; torchao for `int8-torch`. Without
a GPU it says so and ends well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = [str(REPOSITORY / name) for name in ("core", "registry", "server", "agent")]
sys.path[:0] = PACKAGES
# Fresh processes measure, and must find the packages too.
os.environ["PYTHONPATH"] = os.pathsep.join([*PACKAGES, os.environ.get("PYTHONPATH", "")])

from rsq.errors import RsqError  # noqa: E402
from rsq.manifest import TOWERS  # noqa: E402
from rsq.profiling import Measurement, measure, to_profile  # noqa: E402
from rsq.providers import GPU_PROVIDERS, TORCH_CUDA, short_name  # noqa: E402
from rsq.records import PUBLISHER, ArtifactRow  # noqa: E402
from rsq_agent.node.device import find_device  # noqa: E402
from rsq_agent.node.node_survey import find_gpu  # noqa: E402

BATCHES = (1, 8, 32)
HELD_OUT = 8  # predicted from the others
SECONDS = 2.0
THREADS = min(os.cpu_count() or 1, 4)  # of the host, which only feeds the GPU
# The last is for CPUs: on CUDA its products would fall back, which must be refused.
VARIANTS = ("fp32", "fp16", "int8-static-s8", "int8-torch", "int8")


@dataclass(frozen=True)
class Built:
    """An artifact on disk."""

    folder: Path
    manifest_path: Path
    row: ArtifactRow  # without profiles


def build(checkpoint: Path, work: Path) -> tuple[list[Built], dict[str, str]]:
    """The artifacts of both towers below `work`, and why others could not be made."""
    import importlib.util

    from base_towers import IMAGES

    from rsq_server.build.artifact import MANIFEST_NAME
    from rsq_server.build.construction import build_artifacts, export_towers, read_facts
    from rsq_server.build.load import load_encoder
    from rsq_server.datasets.generated import generated_set
    from rsq_server.datasets.loading import load_calibration_set
    from rsq_server.progress import SilentProgress
    from rsq_server.recipes import RECIPES

    names = list(VARIANTS)
    missing = {}
    if importlib.util.find_spec("torchao") is None:
        names.remove("int8-torch")
        missing["int8-torch"] = "torchao is not installed"
    recipes = [RECIPES[name] for name in names]
    encoder = load_encoder(checkpoint, work_folder=work)
    programs = export_towers(encoder, work, SilentProgress(), recipes)
    facts = read_facts(encoder, "0" * 64, work)
    del encoder
    images = (
        load_calibration_set(IMAGES)
        if IMAGES.is_dir()
        else generated_set("calibration", per_class=2)
    )
    made = build_artifacts(recipes, facts, images, work, SilentProgress(), programs=programs)
    built = []
    for artifact in made.artifacts:
        manifest = artifact.manifest
        row = ArtifactRow(
            id=artifact.id,
            tower=artifact.tower,
            variant=artifact.variant,
            size_bytes=manifest.size_bytes,
            providers=manifest.recipe.providers,
            batch_invariant=manifest.batch_invariant,
            evaluation=None,
            profiles=(),
        )
        built.append(Built(artifact.folder, artifact.folder / MANIFEST_NAME, row))
    return built, {**missing, **made.refusals}


def measure_all(
    built: Sequence[Built], providers: Sequence[str], device_class: str
) -> tuple[list[dict[str, Any]], list[ArtifactRow]]:
    """A table row for each artifact, batch and provider that opens its format; and the artifacts
    with their profiles, of the providers that they are for."""
    table, rows = [], []
    for one in built:
        profiles = []
        is_program = one.row.variant == "int8-torch"
        for provider in (name for name in providers if (name == TORCH_CUDA) == is_program):
            for batch in BATCHES:
                row, measurement = _measure_one(one, provider, batch)
                table.append(row)
                _print_row(row)
                if measurement is None:
                    break
                if provider in one.row.providers:
                    profiles.append(
                        to_profile(
                            measurement,
                            artifact_id=one.row.id,
                            device=device_class,
                            provider=provider,
                            batch=batch,
                            threads=THREADS,
                            source=PUBLISHER,
                        )
                    )
        rows.append(replace(one.row, profiles=tuple(profiles)))
    return table, rows


def _measure_one(
    one: Built, provider: str, batch: int
) -> tuple[dict[str, Any], Measurement | None]:
    entry = {
        "tower": one.row.tower,
        "variant": one.row.variant,
        "provider": provider,
        "is_for_it": provider in one.row.providers,
        "batch": batch,
        "size_bytes": one.row.size_bytes,
    }
    try:
        found = measure(
            one.folder,
            one.manifest_path,
            batch=batch,
            provider=provider,
            threads=THREADS,
            seconds=SECONDS,
        )
    except RsqError as e:
        return {**entry, "error": e.code, "message": e.message}, None
    return {**entry, **asdict(found)}, found


def compare_predictions(rows: Sequence[ArtifactRow], device_class: str) -> list[dict[str, Any]]:
    """The peak at the batch that was held out: measured, predicted from the other batches, and
    estimated from the files alone."""
    from rsq.prediction import estimate_peak, predict_peak

    found = []
    for row in rows:
        for profile in row.profiles:
            if profile.batch != HELD_OUT:
                continue
            others = tuple(
                other
                for other in row.profiles
                if other.provider == profile.provider and other.batch != HELD_OUT
            )
            predicted = predict_peak(
                replace(row, profiles=others),
                device_class=device_class,
                provider=profile.provider,
                batch=HELD_OUT,
            )
            found.append(
                {
                    "tower": row.tower,
                    "variant": row.variant,
                    "provider": profile.provider,
                    "measured_bytes": profile.peak_bytes,
                    "predicted_bytes": predicted.peak_bytes,
                    "margin_bytes": predicted.margin_bytes,
                    "estimated_bytes": estimate_peak(row.size_bytes, batch=HELD_OUT, on_gpu=True),
                }
            )
    return found


def judge_latency(rows: Sequence[ArtifactRow]) -> list[dict[str, Any]]:
    """What the latency gate says of each artifact that was measured."""
    from rsq_server.latency_gate import measure_pace

    paces = [(row, measure_pace(row, rows)) for row in rows if row.profiles]
    return [
        {"tower": row.tower, "variant": row.variant, "slower": list(pace.slower)}
        for row, pace in paces
    ]


def measure_eager(checkpoint: Path, device: str = "cuda") -> list[dict[str, Any]]:
    """PyTorch as the published figures have it: eager, FP32 and FP16, in processes of their own."""
    script = str(Path(__file__).with_name("eager_gpu.py"))
    found = []
    for tower, precision, batch in product(TOWERS, ("float32", "float16"), BATCHES):
        arguments = [str(checkpoint), tower, precision, str(batch), device]
        done = subprocess.run(
            [sys.executable, script, *arguments], capture_output=True, text=True, check=False
        )
        entry = {"tower": tower, "variant": f"eager {precision}", "batch": batch}
        if done.returncode == 0:
            found.append({**entry, **json.loads(done.stdout.splitlines()[-1])})
        else:
            lines = done.stderr.strip().splitlines() or ["no output"]
            found.append({**entry, "error": "DIED", "message": lines[-1]})
        _print_row({"provider": TORCH_CUDA, **found[-1]})
    return found


def run(checkpoint: Path, work: Path) -> dict[str, Any]:
    device = find_device()
    gpu = find_gpu()
    built, missing = build(checkpoint, work)
    providers = [name for name in device.providers if name in GPU_PROVIDERS]
    table, rows = measure_all(built, providers, device.device_class)
    return {
        "device": device.device_class.removeprefix("cuda:"),
        "gpu": asdict(gpu),
        "versions": _versions(),
        "providers": providers,
        "not_built": missing,
        "rows": table,
        "eager": measure_eager(checkpoint),
        "predictions": compare_predictions(rows, device.device_class),
        "latency_gate": judge_latency(rows),
    }


def print_summary(found: dict[str, Any]) -> None:
    """Ratios to eager FP32 at the same batch: time, and the process's device memory."""
    eager = {
        (row["tower"], row["batch"]): row
        for row in found["eager"]
        if row.get("variant") == "eager float32" and "p50_ms" in row
    }
    print("tower, variant, provider, batch: times as fast as eager FP32; share of its memory")
    for row in [*found["rows"], *found["eager"]]:
        base = eager.get((row.get("tower"), row["batch"]))
        if base is None or "p50_ms" not in row:
            continue
        print(
            f"  {row['tower']:6} {row['variant']:15} {short_name(row['provider']):10} "
            f"{row['batch']:3}  x{base['p50_ms'] / row['p50_ms']:5.2f}  "
            f"{row['peak_bytes'] / base['peak_bytes']:6.1%}"
        )
    for one in found["predictions"]:
        off = one["predicted_bytes"] - one["margin_bytes"] - one["measured_bytes"]
        print(
            f"  memory of {one['tower']} {one['variant']} on {short_name(one['provider'])} at "
            f"batch {HELD_OUT}: measured {one['measured_bytes'] / 1e6:.0f} MB, predicted "
            f"{off / 1e6:+.0f} MB off, estimated {one['estimated_bytes'] / 1e6:.0f} MB"
        )
    for one in found["latency_gate"]:
        print(f"  gate: {one['tower']} {one['variant']}: {'; '.join(one['slower']) or 'no loss'}")


def _versions() -> dict[str, str]:
    import onnxruntime
    import torch

    return {"onnxruntime": onnxruntime.__version__, "torch": str(torch.__version__)}


def _print_row(row: dict[str, Any]) -> None:
    name = (
        f"{row['tower']:6} {row['variant']:15} {short_name(row['provider']):10} "
        f"batch {row['batch']:3}"
    )
    if "error" in row:
        print(f"{name}  {row['error']}: {row['message']}", flush=True)
    else:
        print(
            f"{name}  p50 {row['p50_ms']:8.2f} ms  {row['per_second']:8.1f}/s  peak "
            f"{row['peak_bytes'] / 1e6:7.0f} MB"
            + (f"  probe {row['probe_fp32_cosine_min']:.5f}" if "load_ms" in row else ""),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?", help="folder of a checkpoint")
    parser.add_argument("--out", type=Path, help="default: bench/results/gpu-DEVICE.json")
    options = parser.parse_args()
    if not set(find_device().providers) & GPU_PROVIDERS:
        print("No CUDA GPU that ONNX Runtime or torch can use is here, so nothing was measured.")
        return
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint
        if checkpoint is None:
            from make_base_checkpoint import make_checkpoint

            checkpoint = Path(folder) / "checkpoint"
            make_checkpoint(checkpoint)
        work = Path(folder) / "work"
        work.mkdir()
        found = run(checkpoint, work)
    print_summary(found)
    slug = re.sub(r"[^a-z0-9]+", "-", found["device"].lower()).strip("-")
    out = options.out or REPOSITORY / "bench" / "results" / f"gpu-{slug}.json"
    out.write_text(json.dumps(found, indent=2) + "\n")
    print(f"Wrote {out}.")


if __name__ == "__main__":
    main()
