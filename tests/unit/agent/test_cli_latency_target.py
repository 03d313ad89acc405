from __future__ import annotations

import pytest

from rsq.errors import BadInput
from rsq_agent.cli.latency_target import parse_latency_targets


@pytest.mark.parametrize(
    ("texts", "targets"),
    [
        ((), {}),
        (("200ms",), {"vision": 0.2, "text": 0.2}),
        (("text=50ms",), {"text": 0.05}),
        (("text=50ms", "1s"), {"vision": 1.0, "text": 0.05}),
    ],
)
def test_a_target_is_of_both_towers_or_of_the_one_it_names(
    texts: tuple[str, ...], targets: dict[str, float]
) -> None:
    assert parse_latency_targets(texts) == targets


@pytest.mark.parametrize("text", ["", "0", "fast", "audio=200ms", "text=", "=1s", "text=vision=1s"])
def test_refuses_what_is_no_target(text: str) -> None:
    with pytest.raises(BadInput):
        parse_latency_targets([text])
