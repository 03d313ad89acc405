"""The search for a mixed variant: what each trial cost, and how accurate it was."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_server.details import SearchTrial
from rsq_server.report_page.chart import add, finish_chart, start_chart, x_axis, y_axis
from rsq_server.report_page.scale import Axis, percent, plain, widen

_SHOWN_BLOCKS = 12  # that the hint of a trial names


def draw_trials(tower: str, trials: Sequence[SearchTrial]) -> str:
    """`trials` are those of `tower`, not empty. The line is the best accuracy for the cost."""
    costs, accuracies = ([t.cost for t in trials], [t.accuracy for t in trials])
    x = x_axis("cost, all-INT8 tower = 1", *widen(min(costs), max(costs), least=0.1), plain)
    low, high = widen(min(accuracies), max(accuracies), least=0.01)
    y = y_axis("", low, min(high, 1 + (1 - low) / 20), percent)
    svg = start_chart(f"{len(trials)} trials of the {tower} tower: accuracy against cost.", x, y)
    add(svg, "path", d=_front(trials, x, y), class_="front")
    for trial in sorted(trials, key=lambda trial: trial.chosen):  # the chosen one on top
        kind = "trial chosen" if trial.chosen else "trial"
        cost, accuracy = x.place(trial.cost), y.place(trial.accuracy)
        radius = 6 if trial.chosen else 3.5
        dot = add(svg, "circle", class_=kind, cx=cost, cy=accuracy, r=radius)
        add(dot, "title", describe_trial(trial))
    return finish_chart(svg)


def describe_trial(trial: SearchTrial) -> str:
    kept = ", ".join(trial.kept[:_SHOWN_BLOCKS]) or "no block"
    more = len(trial.kept) - _SHOWN_BLOCKS
    rest = f" and {more} more" if more > 0 else ""
    return (
        f"{percent(trial.accuracy, 4)} at cost {trial.cost:.2f}; at higher precision: {kept}{rest}"
    )


def _front(trials: Sequence[SearchTrial], x: Axis, y: Axis) -> str:
    ordered = sorted(trials, key=lambda trial: (trial.cost, -trial.accuracy))
    best = ordered[0].accuracy
    path = f"M{x.place(ordered[0].cost)} {y.place(best)}"
    for trial in ordered[1:]:
        if trial.accuracy > best:
            best = trial.accuracy
            path += f"H{x.place(trial.cost)}V{y.place(best)}"
    return f"{path}H{x.end}"
