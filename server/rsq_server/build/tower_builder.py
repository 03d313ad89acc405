"""Step 5 of publish: the variants of one tower, from its FP32 export.

What recipes have in common, such as statistics of the activations and rounded weights, is computed
once and kept for the next recipe.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rsq.errors import GateRefused, InternalError
from rsq.manifest import RecipeSpec, Tower
from rsq_server.build.calibration_rows import CalibrationRows
from rsq_server.build.cost_model import site_cost_ms
from rsq_server.build.external_data import open_model, save_model
from rsq_server.build.half_precision import convert_to_half
from rsq_server.build.integer import Mode, Rounding, SitePlan, quantize_graph, quantize_nearest
from rsq_server.build.last_layer import Fit, find_last_layer
from rsq_server.build.linears import Linear, Site, find_sites, replace_matrix
from rsq_server.build.mixed import (
    Agreement,
    Assignment,
    Journal,
    Precision,
    SearchResult,
    Unit,
    search,
)
from rsq_server.build.observe import Observer
from rsq_server.build.patches import linearize_patches
from rsq_server.build.plain_attention import write_out_attention
from rsq_server.build.projection import fit_projection
from rsq_server.build.smoothing import Factors, smooth
from rsq_server.build.stock import quantize_stock
from rsq_server.build.symmetric_qdq import insert_symmetric_qdq
from rsq_server.build.weight_rounding import round_gptq
from rsq_server.build.workers import available_workers
from rsq_server.recipes import LAST, Recipe

_Rounded = dict[str, tuple[NDArray[np.int8], NDArray[np.float32]]]
GLANCE_INPUTS = 32  # for a sensitivity, which is a mean over every token of each
Advance = Callable[[int, int], None]
_OUTER = re.compile(r".*\blayers\.\d+\.|^head\.")  # what a layer's name has before its own


@dataclass(frozen=True)
class BuiltVariant:
    """What was made, and for a searched recipe how it was found."""

    spec: RecipeSpec
    search: SearchResult | None = None


class TowerBuilder:
    """Builds variants of the tower in `folder`; `calibration` is None where no recipe calibrates.
    `image_size` is the height and width of a vision tower's input."""

    def __init__(
        self,
        tower: Tower,
        folder: Path,
        *,
        image_size: tuple[int, int],
        calibration: CalibrationRows | None,
        journal_folder: Path | None,
    ) -> None:
        self._tower = tower
        self._folder = folder
        self._image_size = image_size
        self._calibration = calibration
        self._journal_folder = journal_folder
        self._observers: dict[Path, Observer] = {}
        self._rounded: dict[tuple[Path, float | None], _Rounded] = {}

    def build(
        self, recipe: Recipe, out_folder: Path, advance: Advance = lambda done, total: None
    ) -> BuiltVariant:
        """Writes the recipe's variant of the tower to a new `out_folder`.

        Raises GateRefused for a tower that the recipe can't express or whose floor nothing meets.
        """
        spec = recipe.to_spec(self._tower)
        if recipe.activations == "float":
            _copy_files(self._folder, out_folder)
        elif recipe.activations == "half":
            model = open_model(self._folder)
            convert_to_half(model)
            save_model(model, out_folder)
        elif recipe.activations == "stock":
            quantize_stock(self._folder, out_folder)
        elif recipe.search is not None:
            return self._build_mixed(recipe, spec, out_folder, advance)
        else:
            fit = self._fit(recipe, out_folder) if recipe.tune_projection else None
            save_model(self._quantize(recipe, fit=fit), out_folder)
            if fit is not None:
                spec.parameters["projection"] = _describe_fit(fit)
        return BuiltVariant(spec)

    def _build_mixed(
        self, recipe: Recipe, spec: RecipeSpec, out_folder: Path, advance: Advance
    ) -> BuiltVariant:
        calibration = self._need_calibration(recipe)
        assert recipe.search is not None
        units = self._units(recipe)
        trial_folder = out_folder.with_name(f"{out_folder.name}-trial")

        def agree(assignment: Assignment, limit: int | None) -> Agreement:
            shutil.rmtree(trial_folder, ignore_errors=True)
            save_model(self._quantize(recipe, assignment=assignment), trial_folder)
            return calibration.agree(trial_folder, limit=limit)

        try:
            result = search(
                units,
                lambda assignment: agree(assignment, None),
                lambda assignment: agree(assignment, GLANCE_INPUTS),
                floor=recipe.search.floor,
                trials=recipe.search.trials,
                journal=Journal(self._journal_path(recipe)),
                advance=advance,
            )
        finally:
            shutil.rmtree(trial_folder, ignore_errors=True)
        save_model(self._quantize(recipe, assignment=result.assignment), out_folder)
        raised = {name: level for name, level in result.assignment.items() if level != "token"}
        spec.parameters["raised"] = dict(sorted(raised.items()))
        return BuiltVariant(spec, result)

    def _quantize(
        self,
        recipe: Recipe,
        *,
        assignment: Assignment | None = None,
        fit: Fit | None = None,
        leave: str | None = None,
    ) -> ir.Model:
        """The rewritten model. `assignment` gives units their precision, `fit` changes the last
        layer first, `leave` names a site that stays as it is."""
        base, observer = self._base(recipe)
        model = open_model(base)
        if fit is not None:
            _apply_fit(model.graph, fit)
        factors: Factors = {}
        if recipe.smoothing is not None:
            assert observer is not None
            loud = {name: found.magnitudes for name, found in observer.ranges().items()}
            factors = smooth(model, loud, alpha=recipe.smoothing)
        sites = [s for s in self._chosen_sites(recipe, model.graph) if s.name != leave]
        rounding = self._rounding(recipe, base, fit)
        if recipe.activations == "static-s8":
            assert observer is not None
            insert_symmetric_qdq(
                model, self._magnitudes(recipe, observer, sites, factors), rounding=rounding
            )
            write_out_attention(model)  # last: sites are told apart by that operator
            return model
        plans = self._plans(recipe, observer, sites, factors, assignment)
        unchanged = recipe.embeddings == "float" or self._tower == "vision"
        if unchanged and not plans and assignment is None:
            raise GateRefused(f"{recipe.variant} changes nothing in the {self._tower} tower.")
        quantize_graph(model, plans, rounding=rounding, lookups=recipe.embeddings)
        return model

    def _plans(
        self,
        recipe: Recipe,
        observer: Observer | None,
        sites: list[Site],
        factors: Factors,
        assignment: Assignment | None,
    ) -> dict[str, SitePlan]:
        if recipe.activations == "static":
            assert observer is not None
            scales = observer.scales(
                recipe.calibrator, percentile=recipe.percentile, factors=factors
            )
            return {site.name: SitePlan("tensor", scales[site.name]) for site in sites}
        if assignment is None:
            mode: Mode = "wide" if recipe.activations == "wide" else "token"
            return {site.name: SitePlan(mode) for site in sites}
        plans: dict[str, SitePlan] = {}
        for site in sites:
            level = assignment[_unit_of(site)]
            if level != "float":
                plans[site.name] = SitePlan("wide" if level == "wide" else "token")
        return plans

    def _magnitudes(
        self, recipe: Recipe, observer: Observer, sites: list[Site], factors: Factors
    ) -> dict[str, float]:
        scales = observer.scales(recipe.calibrator, percentile=recipe.percentile, factors=factors)
        magnitudes = {}
        for site in sites:
            scale = scales[site.name]
            magnitudes[site.name] = scale.step * max(scale.zero_point, 255 - scale.zero_point)
        return magnitudes

    def _chosen_sites(self, recipe: Recipe, graph: ir.Graph) -> list[Site]:
        sites = find_sites(graph)
        blocks = [site.block for site in sites if site.block.startswith("block ")]
        kept = {blocks[-1] if name == LAST and blocks else name for name in recipe.float_blocks}
        parts = {*recipe.parts_of(self._tower)}
        if "attention" in parts:
            parts.add("other")
        return [site for site in sites if site.part in parts and site.block not in kept]

    def _units(self, recipe: Recipe) -> list[Unit]:
        base, observer = self._base(recipe)
        assert observer is not None
        rows = {name: found.rows_per_item for name, found in observer.ranges().items()}
        costs: dict[str, dict[Precision, float]] = {}
        for site in self._chosen_sites(recipe, open_model(base).graph):
            unit = costs.setdefault(_unit_of(site), {"token": 0.0, "wide": 0.0, "float": 0.0})
            for level in unit:
                unit[level] += site_cost_ms(site, rows[site.name], level)
        return [Unit(name, found) for name, found in costs.items()]

    def _rounding(self, recipe: Recipe, base: Path, fit: Fit | None) -> Rounding:
        if recipe.weights == "nearest":
            return quantize_nearest
        rounded = self._round_all(base, recipe.smoothing)

        def look_up(site: Site, linear: Linear) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
            if fit is not None and linear.name == fit.layer:
                return quantize_nearest(site, linear)
            return rounded[linear.name]

        return look_up

    def _round_all(self, base: Path, smoothing: float | None) -> _Rounded:
        """GPTQ of every linear layer, with SmoothQuant folded in."""
        key = (base, smoothing)
        if key not in self._rounded:
            observer = self._observers[base]
            model = open_model(base)
            factors: Factors = {}
            if smoothing is not None:
                loud = {name: found.magnitudes for name, found in observer.ranges().items()}
                factors = smooth(model, loud, alpha=smoothing)
            sites = {site.name: site for site in find_sites(model.graph)}
            rounded: _Rounded = {}
            for watched, moment in observer.moments():
                site = sites[watched.name]
                divided = factors.get(site.name)
                if divided is not None:
                    moment /= np.outer(divided, divided)
                for linear in site.linears:
                    rounded[linear.name] = round_gptq(linear.matrix(), moment)
            self._rounded[key] = rounded
        return self._rounded[key]

    def _fit(self, recipe: Recipe, out_folder: Path) -> Fit | None:
        """The change of the last layer, or None where it has none or learning didn't help."""
        calibration = self._need_calibration(recipe)
        base, _ = self._base(recipe)
        last = find_last_layer(open_model(base).graph)
        if last is None:
            return None
        site = next(s for s in find_sites(open_model(base).graph) if last.name in _names(s))
        folder = out_folder.with_name(f"{out_folder.name}-trunk")
        try:
            save_model(self._quantize(recipe, leave=site.name), folder)
            fit = fit_projection(folder, self._folder, last.name, calibration.batches)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return fit if fit.improves else None

    def _base(self, recipe: Recipe) -> tuple[Path, Observer | None]:
        """The FP32 tower that the recipe starts from, and what watches it."""
        base = self._folder
        if "convolution" in recipe.parts_of(self._tower) and self._tower == "vision":
            base = self._folder.with_name(f"{self._folder.name}-linear")
            if not base.is_dir():
                model = open_model(self._folder)
                height, width = self._image_size
                if not linearize_patches(model.graph, height=height, width=width):
                    raise GateRefused(f"{recipe.variant}: the tower has no patch convolution.")
                save_model(model, base)
        if self._calibration is None:
            if recipe.calibrates:
                raise InternalError(f"{recipe.variant} needs a calibration set.")
            return base, None
        if base not in self._observers:
            self._observers[base] = Observer(
                base, self._calibration.batches, threads=available_workers()
            )
        return base, self._observers[base]

    def _need_calibration(self, recipe: Recipe) -> CalibrationRows:
        if self._calibration is None:
            raise InternalError(f"{recipe.variant} needs a calibration set.")
        return self._calibration

    def _journal_path(self, recipe: Recipe) -> Path | None:
        if self._journal_folder is None:
            return None
        return self._journal_folder / f"{self._tower}-{recipe.variant}.json"


def _unit_of(site: Site) -> str:
    """As "block 3 mlp.fc1" or "head out_proj": the site's first layer, named within its block."""
    layer = _OUTER.sub("", site.name.removesuffix(".weight"))
    return site.block if layer == site.block else f"{site.block} {layer}"


def _names(site: Site) -> set[str]:
    return {linear.name for linear in site.linears}


def _apply_fit(graph: ir.Graph, fit: Fit) -> None:
    last = find_last_layer(graph)
    assert last is not None
    replace_matrix(graph, last, last.matrix() + fit.matrix)
    assert last.bias is not None
    bias = last.bias_array()
    assert bias is not None
    last.bias.const_value = ir.Tensor(bias + fit.bias, name=str(last.bias.name))


def _describe_fit(fit: Fit) -> Mapping[str, float]:
    return {"held_out_before": round(fit.before, 7), "held_out_after": round(fit.after, 7)}


def _copy_files(source: Path, target: Path) -> None:
    # Copies: onnx refuses to open external data that has a second hard link.
    target.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copyfile(file, target / file.name)
