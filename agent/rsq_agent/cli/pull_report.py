"""What `pull` and `import` print: the choice, and with --explain everything behind it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from rsq.device_class import is_cpu
from rsq.resolve import Candidate, Ranked, Reason, Request
from rsq.units import format_size
from rsq_agent.pulling.pull import PullPlan

MAX_RANKED = 20  # combinations shown; more are counted


@dataclass(frozen=True)
class Memory:
    """Of the device that the budget is for. `free_bytes` is None where it can't be asked."""

    total_bytes: int
    free_bytes: int | None


def find_memory(device_class: str) -> Memory:
    from rsq_agent.node.free_memory import free_bytes
    from rsq_agent.node.host import memory_bytes

    return Memory(memory_bytes(), free_bytes(on_gpu=not is_cpu(device_class)))


def explanation_to_json(plan: PullPlan, request: Request, memory: Memory) -> dict[str, Any]:
    """All that `--explain` prints; the ranking is cut at MAX_RANKED, `combinations` counts all."""
    resolution = plan.resolution
    available = request.available_bytes
    return {
        "device": {
            "class": request.device.device_class,
            "providers": list(request.device.providers),
            "memory_bytes": memory.total_bytes,
            "free_bytes": memory.free_bytes,
        },
        "objective": str(request.objective),
        "min_accuracy": request.min_accuracy,
        "pin": request.pin,
        "max_batch": request.max_batch,
        "budget": {
            "budget_bytes": request.budget_bytes,
            "reserved_bytes": request.reserved_bytes,
            "available_bytes": available,
            "tower_budgets": dict(request.tower_budgets),
            "predicted_peak_bytes": resolution.predicted_peak_bytes,
            "spare_bytes": (
                None if available is None else available - resolution.predicted_peak_bytes
            ),
        },
        "combinations": len(resolution.ranking),
        "ranking": [ranked.to_json() for ranked in resolution.ranking[:MAX_RANKED]],
    }


def report(
    plan: PullPlan,
    result: dict[str, Any],
    request: Request,
    memory: Memory | None,
    *,
    as_json: bool,
) -> None:
    """Prints `result`, and all the reasoning where the `memory` to explain it with is given."""
    if memory is not None:
        result = {**result, "explanation": explanation_to_json(plan, request, memory)}
    if as_json:
        print(json.dumps(result, indent=2))
        return
    console = Console()
    if memory is not None:
        _print_budget(console, plan, request, memory)
        console.print(_ranking_table(plan.resolution.ranking))
    console.print(
        _candidate_table(f"{result['model']}:{result['version']}", plan.resolution.candidates)
    )
    for sentence in plan.resolution.warnings:
        print(f"Warning: {sentence}", file=sys.stderr)
    peak = format_size(plan.resolution.predicted_peak_bytes)
    reused = format_size(result["bytes_reused"])
    if "bytes_fetched" in result:
        fetched = format_size(result["bytes_fetched"])
        console.print(
            f"Active: {_names(plan)}. Fetched {fetched}, reused {reused}; predicted peak {peak}."
        )
    else:
        console.print(
            f"Would activate {_names(plan)}: {format_size(result['bytes_to_fetch'])} to fetch, "
            f"{reused} here already; predicted peak {peak}."
        )


def _print_budget(console: Console, plan: PullPlan, request: Request, memory: Memory) -> None:
    device = request.device
    free = f", {format_size(memory.free_bytes)} free" if memory.free_bytes is not None else ""
    console.print(
        f"Node: {device.device_class}, {format_size(memory.total_bytes)} of memory{free}; runs "
        f"{', '.join(device.providers)}."
    )
    floor = f", at least {request.min_accuracy:.2%}" if request.min_accuracy is not None else ""
    pin = f", pinned to {request.pin}" if request.pin else ""
    console.print(f"Asked for: {request.objective}{floor}{pin}, batch {request.max_batch}.")
    console.print(_budget_table(plan, request))
    total = format_size(plan.resolution.predicted_peak_bytes)
    if request.available_bytes is None:
        console.print(f"Together {total}; no joint budget.")
        return
    spare = request.available_bytes - plan.resolution.predicted_peak_bytes
    console.print(
        f"Together {total} of {format_size(request.available_bytes)}: budget "
        f"{format_size(request.budget_bytes or 0)} less {format_size(request.reserved_bytes)} "
        f"reserved for collections; {format_size(spare)} to spare."
    )


def _budget_table(plan: PullPlan, request: Request) -> Table:
    table = Table(title="Budget", title_justify="left")
    for column in ("tower", "variant", "expected", "margin", "peak", "at most", "how known"):
        table.add_column(column)
    for choice in plan.resolution.chosen:
        limit = request.tower_budgets.get(choice.tower)
        table.add_row(
            choice.tower,
            choice.variant,
            format_size(choice.predicted_peak_bytes - choice.margin_bytes),
            format_size(choice.margin_bytes),
            format_size(choice.predicted_peak_bytes),
            format_size(limit) if limit is not None else "",
            f"{'estimated ' if choice.estimated else ''}{choice.basis}",
        )
    return table


def _ranking_table(ranking: tuple[Ranked, ...]) -> Table:
    shown = ranking[:MAX_RANKED]
    title = f"{len(ranking)} combination{'s' if len(ranking) > 1 else ''}"
    if len(shown) < len(ranking):
        title += f", the first {len(shown)}"
    table = Table(title=title, title_justify="left")
    for column in ("", "variants", "same top-1", "latency", "peak", "reason"):
        table.add_column(column)
    for place, ranked in enumerate(shown, start=1):
        table.add_row(
            str(place),
            " + ".join(f"{tower} {variant}" for tower, variant in ranked.variants),
            f"{ranked.accuracy:.2%}" if ranked.accuracy is not None else "not measured",
            f"{ranked.p50_ms:.1f} ms" if ranked.p50_ms is not None else "not measured",
            format_size(ranked.predicted_peak_bytes),
            str(ranked.reason),
            style="bold green" if ranked.reason == Reason.FITS else None,
        )
    return table


def _candidate_table(title: str, candidates: tuple[Candidate, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("tower", "variant", "reason", "why"):
        table.add_column(column)
    for candidate in candidates:
        table.add_row(
            candidate.tower,
            candidate.variant,
            str(candidate.reason),
            candidate.detail,
            style="bold green" if candidate.reason == Reason.FITS else None,
        )
    return table


def _names(plan: PullPlan) -> str:
    return " and ".join(f"{choice.tower} {choice.variant}" for choice in plan.resolution.chosen)
