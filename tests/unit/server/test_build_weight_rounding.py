from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from rsq_server.build.weight_rounding import round_gptq, round_nearest


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
    )
)
def test_columns_are_restored_to_half_a_step(weight: NDArray[np.float32]) -> None:
    values, scales = round_nearest(weight)
    assert values.dtype == np.int8
    assert scales.shape == weight.shape[1:]
    assert values.min() >= -127
    error = np.abs(values * scales.astype(np.float64) - weight)
    assert (error <= scales * 0.5001 + 1e-30).all()


def test_one_loud_column_costs_the_others_nothing() -> None:
    weight = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    loud = weight * np.array([1, 1000, 1], np.float32)
    values, scales = round_nearest(loud)
    quiet_values, quiet_scales = round_nearest(weight)
    np.testing.assert_array_equal(values, quiet_values)
    np.testing.assert_allclose(scales, quiet_scales * [1, 1000, 1], rtol=1e-6)


def make_case(
    width: int, outputs: int, rank: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inputs that lie near a subspace of `rank` dimensions, and a weight."""
    random = np.random.default_rng(1)
    rows = random.normal(size=(400, rank)) @ random.normal(size=(rank, width))
    rows += 0.05 * random.normal(size=rows.shape)
    weight = random.normal(size=(width, outputs)).astype(np.float32)
    return rows.astype(np.float32), weight


def output_error(
    rows: NDArray[np.float32],
    weight: NDArray[np.float32],
    rounded: tuple[NDArray[np.int8], NDArray[np.float32]],
) -> float:
    values, scales = rounded
    return float(np.square(rows @ (values * scales - weight)).mean())


def test_gptq_halves_the_output_error_where_inputs_go_together() -> None:
    rows, weight = make_case(width=300, outputs=20, rank=30)
    moment = (rows.T.astype(np.float64) @ rows) / len(rows)
    gptq = output_error(rows, weight, round_gptq(weight, moment))
    assert gptq < 0.5 * output_error(rows, weight, round_nearest(weight))


def test_gptq_rounds_to_the_nearest_where_channels_are_independent() -> None:
    weight = np.random.default_rng(2).normal(size=(40, 7)).astype(np.float32)
    values, scales = round_gptq(weight, np.eye(40))
    nearest, same_scales = round_nearest(weight)
    np.testing.assert_array_equal(values, nearest)
    np.testing.assert_array_equal(scales, same_scales)


def test_channels_that_are_always_silent_do_no_harm() -> None:
    rows, weight = make_case(width=64, outputs=5, rank=8)
    rows[:, ::3] = 0
    moment = (rows.T.astype(np.float64) @ rows) / len(rows)
    values, scales = round_gptq(weight, moment)
    assert np.isfinite(scales).all()
    error = output_error(rows, weight, (values, scales))
    assert error < output_error(rows, weight, round_nearest(weight))


def test_an_input_of_zeros_only_rounds_like_the_nearest() -> None:
    weight = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
    values, _ = round_gptq(weight, np.zeros((6, 6)))
    np.testing.assert_array_equal(values, round_nearest(weight)[0])


def test_the_moment_is_not_changed() -> None:
    rows, weight = make_case(width=16, outputs=3, rank=4)
    moment = (rows.T.astype(np.float64) @ rows) / len(rows)
    before = moment.copy()
    round_gptq(weight, moment)
    np.testing.assert_array_equal(moment, before)
