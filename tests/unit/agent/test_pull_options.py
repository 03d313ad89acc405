from __future__ import annotations

import math
from pathlib import Path

import pytest

from rsq.errors import BadInput
from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Objective, Request
from rsq_agent.cache import Cache
from rsq_agent.cli.pull_options import build_request, collections_bytes, parse_reserve, parse_share
from rsq_agent.state import node_id


@pytest.fixture(autouse=True)
def _on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsq_agent.node.device.find_device", lambda: Device("cpu", (CPU_PROVIDER,)))


def _build(cache: Cache, **changes: str) -> Request:
    typed: dict[str, str | None] = dict.fromkeys(
        ("vram", "vram_vision", "vram_text", "reserve", "tower", "min_accuracy", "pin")
    )
    return build_request(cache, max_batch=8, **{"objective": "accuracy", **typed, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "share"), [("0.98", 0.98), ("98%", 0.98), (" 99.5% ", 0.995), ("1", 1.0), ("0", 0.0)]
)
def test_a_share_is_a_number_up_to_one_or_a_percentage(text: str, share: float) -> None:
    assert math.isclose(parse_share(text), share)


@pytest.mark.parametrize("share", [0.1 + 0.2, 1 / 3, 1e-7])
def test_what_watch_remembered_reads_back_exactly(share: float) -> None:
    assert parse_share(str(share)) == share


@pytest.mark.parametrize("text", ["98", "-0.1", "101%", "nan", "high", "", "%"])
def test_what_is_no_share_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput, match=r"write one like 0\.98 or 98%"):
        parse_share(text)


def test_the_request_carries_every_option(tmp_path: Path) -> None:
    request = _build(
        Cache(tmp_path), vram="2GB", vram_text="500MB", reserve="100MB", objective="latency",
        min_accuracy="97%", pin="int8",
    )  # fmt: skip
    assert request.available_bytes == 1_900_000_000
    assert dict(request.tower_budgets) == {"text": 500_000_000}
    assert (request.objective, request.min_accuracy) == (Objective.LATENCY, 0.97)
    assert request.pin == "int8"


def test_what_is_neither_a_tower_nor_an_objective_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--tower vision"):
        _build(Cache(tmp_path), tower="audio")
    with pytest.raises(BadInput, match="--objective accuracy, latency or memory"):
        _build(Cache(tmp_path), objective="speed")


def test_collections_are_reserved_at_their_size_unless_told_otherwise(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert _build(cache).reserved_bytes == 0
    (cache.collections_folder / "ships").mkdir(parents=True)
    (cache.collections_folder / "ships" / "vectors").write_bytes(b"v" * 1_000_000)
    assert collections_bytes(cache, "cpu") >= 1_000_000
    assert collections_bytes(cache, "cuda:NVIDIA L4") == 0
    assert _build(cache, reserve="5MB").reserved_bytes == 5_000_000
    assert _build(cache, reserve="0").reserved_bytes == 0


def test_a_reserve_is_remembered_only_where_it_was_given() -> None:
    assert (parse_reserve(None), parse_reserve("0"), parse_reserve("5MB")) == (None, 0, 5_000_000)
    with pytest.raises(BadInput, match="some"):
        parse_reserve("some")


def test_a_node_says_who_it_is_once_it_has_an_id(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert _build(cache).node_id is None
    assert list(tmp_path.iterdir()) == []
    made = node_id(cache)
    assert _build(cache).node_id == made
