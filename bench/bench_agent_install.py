"""What an edge node gets: installs rsq-agent[cpu] alone into a fresh environment and weighs it.

Prints the installed size, the largest packages, the start-up time of `rsq-agent --help`, and
whether anything that belongs on the server came along.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
SERVER_ONLY = ("torch", "transformers", "onnx", "onnxscript", "sqlalchemy", "alembic")
RUNS = 9


def install_agent(folder: Path) -> Path:
    """Installs core and agent[cpu] into a new environment and returns its python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["-c", REPOSITORY / "constraints.txt"]
    wanted = [REPOSITORY / "core", f"{REPOSITORY / 'agent'}[cpu]"]
    subprocess.run([*install, *constraints, *wanted], check=True)
    return python


def find_server_only(python: Path) -> list[str]:
    """Which of the server's libraries the environment can import."""
    code = (
        "import importlib.util as u, json;"
        f"print(json.dumps([n for n in {SERVER_ONLY!r} if u.find_spec(n)]))"
    )
    out = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    return list(json.loads(out))


def weigh(folder: Path) -> dict[str, int]:
    """Bytes on disk of each installed package's folder, pip left out."""
    packages = next((folder / "lib").glob("python*/site-packages"))
    sizes = {
        entry.name: sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
        if entry.is_dir()
        else entry.stat().st_size
        for entry in packages.iterdir()
    }
    tools = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
    return {name: size for name, size in sizes.items() if not name.startswith(tools)}


def time_help(python: Path) -> list[float]:
    """Wall seconds of `rsq-agent --help`, one run to warm up left out."""
    laps = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run([python.parent / "rsq-agent", "--help"], check=True, capture_output=True)
        laps.append(time.perf_counter() - started)
    return laps[1:]


def run(folder: Path) -> dict[str, Any]:
    python = install_agent(folder)
    sizes = weigh(folder)
    laps = time_help(python)
    return {
        "server_only_libraries": find_server_only(python),
        "installed_bytes": sum(sizes.values()),
        "largest": dict(sorted(sizes.items(), key=lambda item: -item[1])[:8]),
        "help_seconds": {"median": statistics.median(laps), "min": min(laps), "max": max(laps)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/agent_install.json")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as name:
        result = run(Path(name) / "environment")
    print(f"installed: {result['installed_bytes'] / 1e6:.0f} MB")
    for package, size in result["largest"].items():
        print(f"  {size / 1e6:6.1f} MB {package}")
    seconds = result["help_seconds"]
    print(f"--help: {seconds['median']:.2f} s ({seconds['min']:.2f} to {seconds['max']:.2f})")
    print(f"server-only libraries: {result['server_only_libraries'] or 'none'}")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
