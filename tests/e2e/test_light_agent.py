from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from bench_agent_install import find_server_only, install_agent


@pytest.mark.slow
def test_an_environment_with_the_agent_alone_is_light_and_works(tmp_path: Path) -> None:
    python = install_agent(tmp_path / "environment")
    assert find_server_only(python) == []
    code = (
        "import sys; from rsq_agent.app import Agent;"
        "from rsq.onnx_session import available_providers;"
        "assert 'CPUExecutionProvider' in available_providers();"
        "assert not {'torch', 'transformers', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([python, "-c", code], check=True)
    done = subprocess.run(
        [python.parent / "rsq-agent", "pull", "demo", "--server", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
        env={"RSQ_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 8, done.stderr
