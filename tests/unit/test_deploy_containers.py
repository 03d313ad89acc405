"""The container files build from what the repository has. None is built here: that takes a registry
of base images."""

from __future__ import annotations

import fnmatch
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = sorted((REPOSITORY / "deploy" / "containers").glob("Containerfile.*"))
EXTRAS_OF_ONNXRUNTIME = {"cpu", "cuda", "openvino"}


@dataclass
class Stage:
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def arguments(self, instruction: str) -> list[str]:
        return [text for name, text in self.steps if name == instruction]


def read_stages(path: Path) -> list[Stage]:
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages: list[Stage] = []
    for line in filter(str.strip, text.splitlines()):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            stages.append(Stage(rest.split()[0]))
        else:
            stages[-1].steps.append((instruction, rest.strip()))
    return stages


def installed(stages: list[Stage]) -> list[str]:
    """What pip is told to install, each with its extras."""
    words = [
        word
        for stage in stages
        for command in stage.arguments("RUN")
        if "pip install" in command
        for word in shlex.split(command.partition("pip install")[2])
    ]
    options = ("-", "constraints.txt")
    return [word for word in words if not word.startswith(options)]


def project(folder: str) -> dict[str, Any]:
    fields = tomllib.loads((REPOSITORY / folder / "pyproject.toml").read_text())
    return dict(fields["project"])


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def stages(request: pytest.FixtureRequest) -> list[Stage]:
    return read_stages(request.param)


def test_there_is_a_file_for_the_server_and_for_each_kind_of_node() -> None:
    assert [path.suffix for path in FILES] == [".agent-cpu", ".agent-cuda", ".server"]


def test_base_images_are_pinned_to_a_release(stages: list[Stage]) -> None:
    assert len(stages) == 2
    for stage in stages:
        assert re.fullmatch(r"[a-z.]+/[a-z/]+:\d+\.\d+\.\d+-[a-z0-9.-]+", stage.base)
    # An environment only runs on the image whose interpreter made it.
    assert stages[0].base == stages[1].base


def test_all_that_is_copied_exists_and_is_sent_to_the_build(stages: list[Stage]) -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = [text.split()[0] for text in stages[0].arguments("COPY")]
    assert copied
    for source in copied:
        assert (REPOSITORY / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in sent), source


def test_every_extra_exists_and_one_flavour_of_onnx_runtime_comes_along(
    stages: list[Stage],
) -> None:
    flavours = set()
    for word in installed(stages):
        match = re.fullmatch(r"\./([a-z]+)(?:\[([a-z0-9,]+)\])?", word)
        if match is None:
            continue
        extras = set(match[2].split(",")) if match[2] else set()
        assert extras <= set(project(match[1]).get("optional-dependencies", {})), word
        flavours |= extras & EXTRAS_OF_ONNXRUNTIME
    assert len(flavours) <= 1


def test_torch_comes_with_the_server_only() -> None:
    for path in FILES:
        words = installed(read_stages(path))
        has_torch = any(word == "torch" or "torch]" in word or "torch," in word for word in words)
        assert has_torch == (path.suffix == ".server"), path.name


def test_it_runs_a_command_of_ours_as_an_ordinary_user_with_its_data_in_a_volume(
    stages: list[Stage],
) -> None:
    final = stages[-1]
    commands = {**project("agent")["scripts"], **project("server")["scripts"]}
    (entry,) = final.arguments("ENTRYPOINT")
    (health,) = final.arguments("HEALTHCHECK")
    assert entry in {f'["{command}"]' for command in commands}
    assert health.partition("CMD ")[2].split()[0] == entry.strip('[]"')
    assert final.arguments("USER") == ["10001"]
    (volume,) = final.arguments("VOLUME")
    (environment,) = final.arguments("ENV")
    assert f"RSQ_HOME={volume}" in environment.split()
    assert "ORT_DISABLE_TELEMETRY=1" in environment.split()
