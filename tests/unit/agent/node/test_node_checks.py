from __future__ import annotations

import dataclasses

import pytest

from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER, OPENVINO_PROVIDER, TENSORRT_PROVIDER
from rsq_agent.node.node_checks import State, check_driver, check_runtime, judge_node
from rsq_agent.node.node_facts import (
    ClockFacts,
    DiskFacts,
    GpuFacts,
    NodeFacts,
    PermissionFacts,
    PortFacts,
    ProviderTrial,
    RuntimeFacts,
    ServerFacts,
)

NOW = 2_000_000_000.0
GPU = GpuFacts(("NVIDIA L4",), "580.65", (13, 0))
ON_GPU = RuntimeFacts("1.31.1", ("onnxruntime-gpu",), "13.0", (CUDA_PROVIDER, CPU_PROVIDER))
HEALTHY = NodeFacts(
    gpu=GPU,
    runtime=ON_GPU,
    trials=(ProviderTrial(CUDA_PROVIDER, 1.0), ProviderTrial(CPU_PROVIDER, 0.1)),
    clock=ClockFacts(NOW, NOW - 1000, NOW - 5),
    disk=DiskFacts("/data", 10**11),
    permissions=PermissionFacts("/data", 0o750, is_foreign=False),
    server=ServerFacts("registry:7100", 3),
    port=PortFacts("127.0.0.1:7200"),
)


def test_a_healthy_node_has_nothing_to_complain_of() -> None:
    checks = judge_node(HEALTHY)
    assert {check.state for check in checks} == {State.OK}
    assert len({check.name for check in checks}) == len(checks)


@pytest.mark.parametrize(
    ("name", "state", "words", "changes"),
    [
        ("driver", "fail", "install NVIDIA's driver", {"gpu": GpuFacts(fault="no library")}),
        (
            "driver", "fail", "newer driver",
            {"gpu": dataclasses.replace(GPU, cuda_version=(12, 8))},
        ),
        (
            "driver", "warn", "rsq-agent[cuda]",
            {"runtime": RuntimeFacts("1.32.0", ("onnxruntime",))},
        ),
        (
            "runtime", "fail", "onnxruntime and onnxruntime-gpu are installed together",
            {"runtime": dataclasses.replace(ON_GPU, flavours=("onnxruntime", "onnxruntime-gpu"))},
        ),
        (
            "runtime", "fail", "Install one flavour",
            {"runtime": RuntimeFacts(fault="Install one flavour.")},
        ),
        (
            "provider cuda", "fail", "CUDA and cuDNN",
            {"trials": (ProviderTrial(CUDA_PROVIDER, 1.0, "It can't start."),)},
        ),
        (
            "provider tensorrt", "warn", "left out",
            {"trials": (ProviderTrial(TENSORRT_PROVIDER, 0.0, "Not installed."),)},
        ),
        (
            "provider openvino", "warn", "again",
            {"trials": (ProviderTrial(OPENVINO_PROVIDER, 0.0, "Broken."),)},
        ),
        (
            "provider cpu", "fail", "again",
            {"trials": (ProviderTrial(CPU_PROVIDER, 0.0, "Broken."),)},
        ),
        ("clock", "fail", "behind the server", {"clock": ClockFacts(NOW, 1.0, NOW + 3600)}),
        ("clock", "fail", "behind the installation", {"clock": ClockFacts(NOW, NOW + 9999)}),
        ("disk", "fail", "RSQ_HOME", {"disk": DiskFacts("/data", fault="Read-only file system")}),
        ("disk", "fail", "make room", {"disk": DiskFacts("/data", 10**8)}),
        ("disk", "warn", "cache prune", {"disk": DiskFacts("/data", 10**9)}),
        ("links", "fail", "one file system", {"disk": DiskFacts("/data", 10**11, False)}),
        (
            "permissions", "fail", "another user",
            {"permissions": PermissionFacts("/data", 0o755, is_foreign=True)},
        ),
        (
            "permissions", "warn", "everybody",
            {"permissions": PermissionFacts("/data", 0o777, is_foreign=False)},
        ),
        (
            "permissions", "warn", "its group",
            {"permissions": PermissionFacts("/data", 0o775, is_foreign=False)},
        ),
        ("server", "warn", "Gone.", {"server": ServerFacts("x:1", fault="Gone.")}),
        ("agent", "fail", "--listen", {"port": PortFacts("x:1", fault="Port in use.")}),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_what_to_do(
    name: str, state: str, words: str, changes: dict[str, object]
) -> None:
    checks = judge_node(dataclasses.replace(HEALTHY, **changes))  # type: ignore[arg-type]
    (found,) = [check for check in checks if check.name == name]
    assert found.state == state
    assert words in found.message
    # One fault is one complaint, so that nobody hunts for a second.
    assert [check.name for check in checks if check.state != State.OK] == [name]


def test_a_node_without_a_gpu_needs_no_driver() -> None:
    found = check_driver(GpuFacts(fault="no library"), RuntimeFacts("1.32.0", ("onnxruntime",)))
    assert found.state == State.OK


def test_a_runtime_of_another_origin_is_no_fault() -> None:
    found = check_runtime(RuntimeFacts("1.23.0", ()))
    assert (found.state, "1.23.0" in found.message) == (State.OK, True)


def test_clocks_that_differ_by_seconds_agree() -> None:
    checks = judge_node(dataclasses.replace(HEALTHY, clock=ClockFacts(NOW, 1.0, NOW + 30)))
    assert {check.state for check in checks} == {State.OK}
