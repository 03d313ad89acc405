"""Fields of a manifest's JSON, each read as one type: a wrong type raises TypeError, a missing one
KeyError, a value out of bounds BadManifest."""

from __future__ import annotations

from typing import Any

from rsq.errors import BadManifest


def read_string(fields: dict[str, Any], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def read_boolean(fields: dict[str, Any], key: str) -> bool:
    value = fields[key]
    if not isinstance(value, bool):
        raise TypeError(key)
    return value


def read_integer(fields: dict[str, Any], key: str, low: int, high: int) -> int:
    value = fields[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(key)
    if not low <= value <= high:
        raise BadManifest(f"{key} is {value}, outside {low}..{high}.")
    return value


def read_number(fields: dict[str, Any], key: str) -> float:
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(key)
    if not abs(value) < float("inf"):
        raise BadManifest(f"{key} is not finite.")
    return float(value)


def read_deviations(values: list[float]) -> tuple[float, float, float]:
    triple = read_triple(values)
    if not min(triple) > 0:
        raise BadManifest("A standard deviation of the channels is not positive.")
    return triple


def read_triple(values: list[float]) -> tuple[float, float, float]:
    triple = tuple(float(value) for value in values)
    if len(triple) != 3:
        raise BadManifest("A channel statistic needs three values.")
    return triple
