from __future__ import annotations

from xml.etree import ElementTree

from rsq_server.details import SearchTrial
from rsq_server.report_page.trials import describe_trial, draw_trials

TRIALS = (
    SearchTrial("vision", (), 1.0, 0.95, False),
    SearchTrial("vision", ("head",), 1.2, 0.99, True),
    SearchTrial("vision", ("layers.3",), 1.4, 0.96, False),
)


def test_every_trial_is_a_point_and_the_chosen_one_stands_out() -> None:
    svg = ElementTree.fromstring(draw_trials("vision", TRIALS))
    circles = list(svg.iter("circle"))
    assert len(circles) == len(TRIALS)
    (chosen,) = (c for c in circles if "chosen" in c.attrib["class"])
    assert chosen is circles[-1]  # drawn over the others
    assert chosen.findtext("title") == "99.00% at cost 1.20; at higher precision: head"
    xs = {c.findtext("title", "")[-4:]: float(c.attrib["cx"]) for c in circles}
    assert xs["lock"] < xs["head"] < xs["rs.3"]


def test_the_line_steps_up_at_each_better_trial_only() -> None:
    svg = ElementTree.fromstring(draw_trials("vision", TRIALS))
    (front,) = (p.attrib["d"] for p in svg.iter("path") if p.attrib["class"] == "front")
    assert front.count("V") == 1


def test_one_trial_is_enough_for_a_chart() -> None:
    assert draw_trials("text", TRIALS[:1]).count("<circle") == 1


def test_long_lists_of_blocks_are_cut() -> None:
    kept = tuple(f"layers.{number}" for number in range(20))
    text = describe_trial(SearchTrial("vision", kept, 1.0, 0.5, False))
    assert text.endswith("layers.11 and 8 more")
    assert describe_trial(TRIALS[0]).endswith("no block")
