"""Publishes a model of SigLIP-base's size and states the time and the peak memory of all its
processes together."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from make_base_checkpoint import make_checkpoint
from programs import COMMANDS, Programs
from watched import run_watched

REPOSITORY = Path(__file__).resolve().parent.parent


def run(folder: Path) -> dict[str, Any]:
    make_checkpoint(folder / "base")
    programs = Programs(folder / "home")
    published = run_watched(
        [COMMANDS / "rsq-server", "publish", folder / "base", "--name", "base", "--json"],
        programs.environment,
    )
    return {
        "cores": os.cpu_count(),
        "load_average_at_end": os.getloadavg()[0],
        "seconds": published.seconds,
        "peak_resident_bytes": published.peak_resident_bytes,
        "published": json.loads(published.out),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/base_publish.json")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as name:
        result = run(Path(name))
    print(
        f"published in {result['seconds']:.0f} s on {result['cores']} cores, peak "
        f"{result['peak_resident_bytes'] / 1e9:.2f} GB"
    )
    for artifact in result["published"]["artifacts"]:
        one = next(profile for profile in artifact["profiles"] if profile["batch"] == 1)
        print(
            f"{artifact['tower']:6} {artifact['variant']:5} {artifact['size_bytes'] / 1e6:6.1f} MB,"
            f" batch 1: {one['p50_ms']:6.1f} ms, peak {one['peak_bytes'] / 1e6:.0f} MB"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
