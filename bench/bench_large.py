"""Publishes and pulls a model of the family's large size: FP32 weights beyond protobuf's 2 GB.

Makes a half-precision checkpoint (make_base_checkpoint --large), publishes it as fp32, fp16 and
int8 with the command in a fresh process, then pulls each with the agent's command, which proves it
before it counts. States the time and the peak memory of all processes of each command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from base_towers import cpu_name
from programs import COMMANDS, Programs
from watched import run_watched

REPOSITORY = Path(__file__).resolve().parent.parent
VARIANTS = ("fp32", "fp16", "int8")
LIMIT_BYTES = 16 * 10**9
BUDGET = "16GB"  # of a pull, wide enough for FP32


def run(folder: Path, layers: int | None) -> dict[str, Any]:
    checkpoint = folder / "large"
    _make_checkpoint(checkpoint, layers)
    programs = Programs(folder / "home")
    published = run_watched(
        [
            COMMANDS / "rsq-server", "publish", checkpoint, "--name", "large",
            "--variants", ",".join(VARIANTS), "--json",
        ],
        programs.environment,
    )  # fmt: skip
    with programs.serve_registry():
        pulls = {variant: _pull(programs, folder, variant) for variant in VARIANTS}
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "layers": layers or 24,
        "load_average_at_end": os.getloadavg()[0],
        "checkpoint_bytes": sum(file.stat().st_size for file in checkpoint.iterdir()),
        "seconds": published.seconds,
        "peak_resident_bytes": published.peak_resident_bytes,
        "limit_bytes": LIMIT_BYTES,
        "published": json.loads(published.out),
        "pulls": pulls,
    }


def _make_checkpoint(out: Path, layers: int | None) -> None:
    """In a process of its own, so that its memory is free again."""
    script = (
        "import sys; from pathlib import Path; from make_base_checkpoint import make_checkpoint\n"
        "layers = int(sys.argv[2]) or None\n"
        "make_checkpoint(Path(sys.argv[1]), large=True, layers=layers)"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(out), str(layers or 0)],
        cwd=REPOSITORY / "bench",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "bench")},
        capture_output=True,
        check=True,
    )


def _pull(programs: Programs, folder: Path, variant: str) -> dict[str, Any]:
    """Into a data folder of its own, so that nothing is there already."""
    agent = Programs(folder / f"agent-{variant}")
    pulled = run_watched(
        [
            COMMANDS / "rsq-agent", "pull", "large", "--vram", BUDGET, "--pin", variant,
            "--server", programs.server, "--agent", agent.agent, "--json",
        ],
        agent.environment,
    )  # fmt: skip
    answer = json.loads(pulled.out)
    return {
        "seconds": pulled.seconds,
        "peak_resident_bytes": pulled.peak_resident_bytes,
        "bytes_fetched": answer["bytes_fetched"],
        "predicted_peak_bytes": sum(one["predicted_peak_bytes"] for one in answer["chosen"]),
        "chosen": answer["chosen"],
    }


def _print(found: dict[str, Any]) -> None:
    peak = found["peak_resident_bytes"]
    within = "within" if peak <= found["limit_bytes"] else "ABOVE"
    print(
        f"published {found['checkpoint_bytes'] / 1e9:.2f} GB in half precision in "
        f"{found['seconds']:.0f} s on {found['cores']} cores, peak {peak / 1e9:.2f} GB, "
        f"{within} {found['limit_bytes'] / 1e9:.0f} GB"
    )
    for artifact in found["published"]["artifacts"]:
        one = next(profile for profile in artifact["profiles"] if profile["batch"] == 1)
        print(
            f"{artifact['tower']:6} {artifact['variant']:5} "
            f"{artifact['size_bytes'] / 1e6:7.1f} MB, batch 1: {one['p50_ms']:6.1f} ms "
            f"(p95 {one['p95_ms']:.1f}, {one['threads']} threads), "
            f"peak {one['peak_bytes'] / 1e6:.0f} MB"
        )
    for variant, pull in found["pulls"].items():
        print(
            f"pull {variant:5} {pull['bytes_fetched'] / 1e6:7.1f} MB in {pull['seconds']:.1f} s, "
            f"peak {pull['peak_resident_bytes'] / 1e9:.2f} GB"
        )
    for name, reason in found["published"]["refused"].items():
        print(f"refused: {name}: {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="two blocks instead of 24; writes nothing"
    )
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/large.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = run(Path(name), layers=2 if options.quick else None)
    _print(found)
    if not options.quick:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
