from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exported_towers import ExportedPair, export_pair

from rsq.errors import BadSource
from rsq_server.build import observe
from rsq_server.build.observe import Observer


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> ExportedPair:
    return export_pair("siglip", tmp_path_factory.mktemp("siglip"))


@pytest.fixture
def observer(pair: ExportedPair) -> Observer:
    return Observer(pair.folders["vision"], lambda: pair.batches("vision"), threads=1)


def test_the_first_norm_is_seen_token_by_token(pair: ExportedPair, observer: Observer) -> None:
    first = next(iter(observer.ranges().values()))
    assert first.rows_per_item == 16  # 32 x 32 pixels in patches of 8
    assert (first.lows <= first.highs).all()
    assert first.magnitudes.max() == max(-first.lows.min(), first.highs.max())


def test_moments_are_those_of_the_rows_however_they_are_grouped(
    observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {site.name: moment for site, moment in observer.moments()}
    monkeypatch.setattr(observe, "MAX_MOMENT_BYTES", 1)
    apart = {site.name: moment for site, moment in observer.moments()}
    assert list(whole) == list(apart)
    for name, moment in whole.items():
        np.testing.assert_allclose(moment, apart[name], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(moment, moment.T, rtol=1e-5, atol=1e-7)
        largest = observer.ranges()[name].magnitudes ** 2
        assert (np.diag(moment) <= largest * 1.001).all()


def test_a_scale_covers_what_was_seen(observer: Observer) -> None:
    scales = observer.scales("minmax", percentile=100, factors={})
    for name, found in observer.ranges().items():
        scale = scales[name]
        low, high = -scale.zero_point * scale.step, (255 - scale.zero_point) * scale.step
        assert low <= found.lows.min() + scale.step
        assert high >= found.highs.max() - scale.step
        assert 0 <= scale.zero_point <= 255


def test_a_percentile_clips_and_entropy_stays_inside(observer: Observer) -> None:
    widest = observer.scales("minmax", percentile=100, factors={})
    for calibrator in ("percentile", "entropy"):
        clipped = observer.scales(calibrator, percentile=99.0, factors={})  # type: ignore[arg-type]
        assert all(clipped[name].step <= widest[name].step * 1.01 for name in widest)
        assert any(clipped[name].step < 0.95 * widest[name].step for name in widest)


def test_factors_divide_the_channels_first(observer: Observer) -> None:
    name, found = next(iter(observer.ranges().items()))
    plain = observer.scales("minmax", percentile=100, factors={})[name]
    halved = observer.scales("minmax", percentile=100, factors={name: np.full_like(found.lows, 2)})[
        name
    ]
    assert halved.step == pytest.approx(plain.step / 2, rel=1e-5)


def test_calibrators_print_nothing_and_leave_no_file(
    pair: ExportedPair, observer: Observer, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in pair.folders["vision"].iterdir())
    observer.scales("percentile", percentile=99.9, factors={})
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in pair.folders["vision"].iterdir()) == before


def test_images_that_give_nan_are_refused(pair: ExportedPair, tmp_path: Path) -> None:
    broken = np.full_like(pair.inputs["vision"][:2], np.nan)
    observer = Observer(pair.folders["vision"], lambda: iter([broken]), threads=1)
    with pytest.raises(BadSource, match="NaN or infinity on the calibration set"):
        observer.scales("minmax", percentile=100, factors={})
