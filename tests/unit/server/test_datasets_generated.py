from __future__ import annotations

from rsq_server.datasets.generated import generated_captions, generated_set
from rsq_server.demo.scenes import CLASSES


def test_generated_calibration_and_evaluation_share_no_image_and_never_change() -> None:
    calibration = generated_set("calibration", per_class=2)
    evaluation = generated_set("evaluation", per_class=2)
    assert generated_set("evaluation", per_class=2) == evaluation
    assert evaluation.digest != calibration.digest
    images = [{s.read() for s in found.samples} for found in (calibration, evaluation)]
    assert [len(found) for found in images] == [20, 20]
    assert not images[0] & images[1]
    assert evaluation.labels
    assert all(s.captions for s in evaluation.samples)


def test_every_class_of_at_least_ten_is_generated_with_captions() -> None:
    found = generated_set("calibration", per_class=1)
    assert {sample.label for sample in found.samples} == set(CLASSES)
    assert len(CLASSES) >= 10
    assert all(sample.captions for sample in found.samples)


def test_generated_captions_are_enough_and_begin_with_one_of_each_class() -> None:
    captions = generated_captions(128)
    assert len(captions) == len(set(captions)) >= 128
    scenes = generated_set("calibration", per_class=13).samples
    assert captions[:10] == [sample.captions[0] for sample in scenes[::13]]
