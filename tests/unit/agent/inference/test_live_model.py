from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_models import fake_activation

from rsq.errors import BadInput
from rsq_agent.inference.live_model import LiveModel


def test_a_model_is_idle_once_its_last_call_has_ended() -> None:
    model = LiveModel(fake_activation(), {})
    assert model.wait_until_idle(0)
    model.take()
    model.take()
    used = model.last_used
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(model.wait_until_idle)
        model.release()
        assert not model.is_idle
        assert not model.wait_until_idle(0.01)
        assert not waiting.done()
        model.release()
        assert waiting.result(20)
    assert model.is_idle
    assert model.last_used > used


def test_a_node_with_one_tower_says_which_one_to_pull() -> None:
    model = LiveModel(fake_activation(), {"text": None})  # type: ignore[dict-item]
    with pytest.raises(BadInput, match="serves the text tower only; pull the vision tower"):
        model.tower("vision")
