"""Writes what rsq's two programs install, as a CycloneDX bill of materials: `make_sbom.py FOLDER`.

Both are installed into a fresh environment with the versions of constraints.txt, so that nothing of
the development tools is in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "registry[postgresql,s3]", "server", "agent[cpu]")
# First and by exact version: any other request would fetch a CUDA build.
TORCH = "torch==2.13.0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as environment:
        python = Path(environment) / "bin/python"
        _run(sys.executable, "-m", "venv", environment)
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(*pip, TORCH)
        paths = [str(REPOSITORY / package) for package in PACKAGES]
        _run(*pip, "-c", REPOSITORY / "constraints.txt", *paths)
        _run(*pip[:3], "uninstall", "--quiet", "--yes", "setuptools")
        _run(
            REPOSITORY / ".venv/bin/cyclonedx-py", "environment", "--validate",
            "--output-reproducible", "--output-file", folder / "sbom.json", python,
        )  # fmt: skip
    _drop_paths(folder / "sbom.json")
    print(f"Wrote {folder / 'sbom.json'}.")


def _drop_paths(file: Path) -> None:
    """Where our own packages were installed from is of this machine alone."""
    document = json.loads(file.read_text())
    for component in document["components"]:
        references = component.get("externalReferences", [])
        kept = [one for one in references if not one["url"].startswith("file:")]
        component["externalReferences"] = kept
    file.write_text(json.dumps(document, indent=2) + "\n")


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
