"""A short run of every fuzz target; bench_fuzz makes it long."""

from __future__ import annotations

from random import Random

import pytest
from fuzz_mutation import mutate
from fuzz_target import Target, read_corpus, try_input
from fuzz_targets import TARGETS

EXECUTIONS = 300

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Pillow warns of much that it then refuses
    pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name),
]


def test_what_once_was_a_fault_is_refused_or_read(target: Target) -> None:
    corpus = read_corpus(target)
    assert corpus
    for data in corpus:
        try_input(target, data)


def test_changed_inputs_are_refused_or_read(target: Target) -> None:
    rng, corpus = Random(0), read_corpus(target)
    for _ in range(EXECUTIONS):
        data = mutate(rng.choice(corpus), rng, is_json=target.is_json)
        try:
            try_input(target, data)
        except Exception as e:
            raise AssertionError(f"{target.name} failed on {data[:200]!r}") from e
