from __future__ import annotations

from dataclasses import replace

from report_samples import make_details

from rsq_server.report_page.sensitivity import show_sensitivities

DETAILS = make_details()


def test_bars_are_relative_to_the_longest_of_their_tower() -> None:
    vision, text = show_sensitivities(DETAILS)
    assert (vision.tower, text.tower) == ("vision", "text")
    assert [block.name for block in vision.blocks] == ["layers.0.attention", "layers.0.mlp", "head"]
    assert [block.embedding.share for block in vision.blocks] == [0.25, 1.0, 0.0]
    assert [block.retrieval.share for block in vision.blocks] == [0.25, 1.0, 0.0]
    assert [block.retrieval.text for block in vision.blocks] == ["0.40%", "1.60%", "0.00%"]


def test_blocks_at_higher_precision_are_marked() -> None:
    (vision, _) = show_sensitivities(DETAILS)
    assert [(block.kept, block.is_raised) for block in vision.blocks] == [
        ("int8", False),
        ("fp16", True),
        ("int8", False),
    ]


def test_the_chosen_trial_is_described() -> None:
    (vision, _) = show_sensitivities(DETAILS)
    assert vision.chosen == "99.00% at cost 1.25; at higher precision: layers.0.mlp"


def test_a_tower_has_what_was_recorded_of_it() -> None:
    of_vision = tuple(s for s in DETAILS.sensitivities if s.tower == "vision")
    only_blocks = replace(DETAILS, sensitivities=of_vision, trials=())
    (vision,) = show_sensitivities(only_blocks)
    assert (vision.tower, vision.trials, vision.chosen) == ("vision", None, "")
    _, text = show_sensitivities(replace(DETAILS, sensitivities=of_vision))
    assert (text.tower, text.blocks) == ("text", ())
    assert text.trials is not None
    assert show_sensitivities(replace(DETAILS, sensitivities=(), trials=())) == []


def test_gains_and_zeros_have_no_bar() -> None:
    errors = (-1e-6, 0.0, 0.0)
    blocks = tuple(
        replace(s, embedding_error=error, retrieval_loss=0.0)
        for s, error in zip(DETAILS.sensitivities, errors, strict=False)
    )
    (vision,) = show_sensitivities(replace(DETAILS, sensitivities=blocks, trials=()))
    assert [block.embedding.share for block in vision.blocks] == [0.0, 0.0, 0.0]
