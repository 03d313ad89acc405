"""The scans of `make lint` find what is planted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rsq.tokens import make_text

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PRIVATE_KEY = "-----BEGIN " + "PRIVATE KEY-----"


def _scan(file: Path) -> int:
    command = [BIN / "detect-secrets-hook", "--no-verify", "-p", "tools/rsq_token_detector.py"]
    return subprocess.run([*command, file], cwd=REPOSITORY, capture_output=True).returncode


@pytest.mark.parametrize(
    "secret",
    [make_text, lambda: PRIVATE_KEY, lambda: "AKIA" + "IOSFODNN7EXAMPLF"],
    ids=["token", "private key", "cloud key"],
)
def test_a_secret_in_a_file_is_found(secret: object, tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_text("Nothing here.\n")
    assert _scan(file) == 0
    file.write_text(f"use this: {secret()}\n")  # type: ignore[operator]
    assert _scan(file) == 1


def test_the_scan_of_the_makefile_uses_the_plugin_for_our_tokens() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    assert "lint: install scan dependencies" in makefile
    assert "-p tools/rsq_token_detector.py" in makefile


@pytest.mark.parametrize("planted", ["import", "dependency", "nothing"])
def test_an_import_and_a_declaration_without_the_other_are_found(
    planted: str, tmp_path: Path
) -> None:
    package = tmp_path / "registry"
    shutil.copytree(REPOSITORY / "registry", package)
    if planted == "import":
        (package / "rsq_registry/planted.py").write_text("import filelock\nimport yaml\n")
    if planted == "dependency":
        project = package / "pyproject.toml"
        project.write_text(
            project.read_text().replace("dependencies = [", 'dependencies = [\n    "flask",', 1)
        )
    done = subprocess.run([BIN / "deptry", "."], cwd=package, capture_output=True, text=True)
    assert (done.returncode == 0) == (planted == "nothing"), done.stderr
