from __future__ import annotations

import numpy as np
import pytest

from rsq_agent.collections.sample_queries import DISTANCES, displace


@pytest.mark.parametrize("radians", DISTANCES)
def test_a_query_lies_about_so_far_from_its_vector(radians: float) -> None:
    vector = np.zeros(768, np.float32)
    vector[0] = 1
    queries = np.stack([displace(vector, radians, seed) for seed in range(20)])
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.arccos(queries @ vector), radians, atol=0.12)


def test_a_seed_gives_one_query_and_another_seed_another() -> None:
    vector = np.full(16, 0.25, np.float32)
    first = displace(vector, 0.3, 1)
    np.testing.assert_array_equal(first, displace(vector, 0.3, 1))
    assert not np.allclose(first, displace(vector, 0.3, 2))
