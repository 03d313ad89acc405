from __future__ import annotations

import numpy as np

from rsq_agent.inference.vector_cache import ENTRY_BYTES, VectorCache

ROW = np.ones(4, np.float32)
SIZE = 1 + ROW.nbytes + ENTRY_BYTES  # of a text of one letter


def test_a_text_comes_back_as_it_was_put() -> None:
    cache = VectorCache()
    batch = np.arange(8, dtype=np.float32).reshape(2, 4)
    cache.put("port", batch[1])
    batch[:] = 0  # the cache keeps a copy
    found = cache.get("port")
    assert found is not None
    assert found.tolist() == [4, 5, 6, 7]
    assert cache.get("Port") is None


def test_the_texts_used_longest_ago_go_first() -> None:
    cache = VectorCache(20 * SIZE)
    for letter in "abcdefghijklmnopqrst":
        cache.put(letter, ROW)
    assert cache.get("a") is not None  # used again, so no longer the oldest
    cache.put("u", ROW)
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("u") is not None


def test_one_long_text_does_not_empty_it() -> None:
    cache = VectorCache(20 * SIZE)
    cache.put("a", ROW)
    cache.put("x" * 10 * SIZE, ROW)
    assert cache.get("x" * 10 * SIZE) is None
    assert cache.get("a") is not None


def test_putting_a_text_again_does_not_count_it_twice() -> None:
    cache = VectorCache(20 * SIZE)
    for _ in range(100):
        cache.put("a", ROW)
    for letter in "bcdefghijklmnopqrst":
        cache.put(letter, ROW)
    assert cache.get("a") is not None
