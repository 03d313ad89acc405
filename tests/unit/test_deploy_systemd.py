"""The systemd units are well formed, name commands and exit codes that exist, and stay confined."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rsq.error_catalog import CATALOG

REPOSITORY = Path(__file__).resolve().parents[2]
UNITS = REPOSITORY / "deploy" / "systemd"
SERVICES = ("rsq-agent.service", "rsq-server.service")
# Of 10; `systemd-analyze security` calls up to 2 "OK".
MOST_EXPOSURE = 2.0
# Another attempt may go better: overload, no server, no answer in time, a port in use, a bug.
WORTH_A_RETRY = {7, 8, 12, 13, 70, 130}


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is missing; run: apt-get install systemd")
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as an installation has them, with the commands of this environment."""
    for name in SERVICES:
        text = (UNITS / name).read_text()
        commands = Path(sys.executable).parent
        (tmp_path / name).write_text(text.replace("/opt/rsq/bin", str(commands)))
    (tmp_path / "rsq-agent.service.d").mkdir()
    shutil.copyfile(UNITS / "rsq-agent-gpu.conf", tmp_path / "rsq-agent.service.d" / "gpu.conf")
    return tmp_path


def settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_finds_no_fault_with_a_unit(analyze: str, installed: Path, name: str) -> None:
    done = subprocess.run(
        [analyze, "verify", installed / name], capture_output=True, text=True, check=False
    )
    # Of the machine's other units it may say more.
    assert name not in done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_is_confined_even_with_access_to_a_gpu(
    analyze: str, installed: Path, name: str
) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", installed / name],
        capture_output=True,
        text=True,
        check=True,
    )
    exposure = float(done.stdout.rpartition("service: ")[2].split()[0])
    assert exposure <= MOST_EXPOSURE


@pytest.mark.parametrize("name", SERVICES)
def test_what_another_start_would_not_change_is_not_tried_again(name: str) -> None:
    codes = {outcome.exit_code for outcome in CATALOG}
    (final,) = settings(name)["RestartPreventExitStatus"]
    assert {int(code) for code in final.split()} == codes - WORTH_A_RETRY


@pytest.mark.parametrize("name", SERVICES)
def test_the_data_lie_in_the_one_folder_that_a_unit_may_write(name: str) -> None:
    found = settings(name)
    assert f"RSQ_HOME=%S/{found['StateDirectory'][0]}" in found["Environment"]
    assert found["ProtectSystem"] == ["strict"]
    accounts = (UNITS / "rsq.sysusers.conf").read_text()
    assert f"u {found['User'][0]} " in accounts


@pytest.mark.parametrize("name", SERVICES)
def test_onnx_runtime_reports_to_nobody(name: str) -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in settings(name)["Environment"]
