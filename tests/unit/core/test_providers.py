from __future__ import annotations

from rsq import providers
from rsq.providers import SHORT_NAMES, short_name


def test_every_provider_has_a_short_name_of_its_own() -> None:
    named = {
        value
        for name, value in vars(providers).items()
        if name.endswith("_PROVIDER") or name in ("TORCH_CPU", "TORCH_CUDA")
    }
    assert set(SHORT_NAMES) == named
    assert len(set(SHORT_NAMES.values())) == len(SHORT_NAMES)


def test_a_provider_of_a_later_release_keeps_its_name() -> None:
    assert short_name("CUDAExecutionProvider") == "cuda"
    assert short_name("NewExecutionProvider") == "NewExecutionProvider"
