"""Artifacts broken as a node may meet them: each answers, or fails, in its own way, and the golden
probe has to refuse all of them.

A fault changes files or the manifest's specification in a copy of a healthy artifact, or wraps its
encoder. The tolerances stay those that the publisher recorded.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.errors import ProbeFailed, RsqError
from rsq.manifest import Manifest, Tower
from rsq.probe import ProbeResult, decode_probe, judge, replay
from rsq_server.build.artifact import BuiltArtifact
from rsq_server.build.external_data import GRAPH_NAME, WEIGHTS_NAME, open_model, save_model

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CLIP = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
_SCALES = re.compile(r"\.mlp\.fc1\.weight(_scale)?$")

# Takes a copy to break and the healthy artifact of the other tower.
Fault = Callable[[BuiltArtifact, BuiltArtifact], Encoder]


@dataclass(frozen=True)
class Verdict:
    """Of one fault: whether it was refused, why, and the worst cosines where it answered at all."""

    caught: bool
    reason: str
    result: ProbeResult | None


def activate(open_encoder: Callable[[], Encoder], artifact: BuiltArtifact) -> Verdict:
    """Opens and proves an artifact with the probe and the tolerances of `artifact`, as a node."""
    result = None
    try:
        encoder = open_encoder()
        probe = decode_probe((artifact.folder / artifact.manifest.file("probe").name).read_bytes())
        result = replay(encoder, probe)
        judge(result, artifact.manifest.probe)
    except ProbeFailed as e:
        return Verdict(True, e.message, result)
    except RsqError as e:
        return Verdict(True, f"not opened: {e.message}", result)
    return Verdict(False, "", result)


def inject(fault: Fault, artifact: BuiltArtifact, other: BuiltArtifact, work: Path) -> Verdict:
    """The verdict on a copy of `artifact` below `work` that `fault` broke; the copy is removed."""
    copy = dataclasses.replace(artifact, folder=work / "broken")
    shutil.copytree(artifact.folder, copy.folder)
    try:
        return activate(lambda: fault(copy, other), artifact)
    finally:
        shutil.rmtree(copy.folder)


def faults_of(tower: Tower) -> dict[str, Fault]:
    return {**_BOTH, **(_VISION if tower == "vision" else _TEXT)}


class WrongInputs(Encoder):
    """An encoder whose prepared inputs go through `change` on their way to the tower."""

    def __init__(
        self, folder: Path, manifest: Manifest, change: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> None:
        super().__init__(folder, manifest)
        self._change = change

    def embed_prepared(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        changed = np.ascontiguousarray(self._change(inputs), inputs.dtype)
        return super().embed_prepared(changed)


def _open(artifact: BuiltArtifact) -> Encoder:
    return artifact.open(threads=1)


def _wrap(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Fault:
    return lambda artifact, other: WrongInputs(artifact.folder, artifact.manifest, change)


def _respecify(**fields: Any) -> Fault:
    """Another preprocessing or text specification than the artifact was published with."""

    def fault(artifact: BuiltArtifact, other: BuiltArtifact) -> Encoder:
        part = "image" if artifact.tower == "vision" else "text"
        spec = dataclasses.replace(getattr(artifact.manifest, part), **fields)
        manifest = dataclasses.replace(artifact.manifest, **{part: spec})
        return _open(dataclasses.replace(artifact, manifest=manifest))

    return fault


def _rewrite(change: Callable[[ir.Model], None]) -> Fault:
    def fault(artifact: BuiltArtifact, other: BuiltArtifact) -> Encoder:
        model = open_model(artifact.folder)
        change(model)
        save_model(model, artifact.folder / "changed")
        for path in (artifact.folder / "changed").iterdir():
            shutil.move(path, artifact.folder / path.name)
        return _open(artifact)

    return fault


def _append(model: ir.Model, kind: str, values: NDArray[Any]) -> None:
    """Puts a node with `values` as its second input behind the output."""
    output = model.graph.outputs[0]
    value = ir.Value(name=f"fault_{kind}", const_value=ir.tensor(values, name=f"fault_{kind}"))
    model.graph.register_initializer(value)
    name, output.name = output.name, f"{output.name}_before_{kind}"
    node = ir.node(kind, [output, value])
    node.outputs[0].name, node.outputs[0].type = name, output.type
    node.outputs[0].shape = output.shape
    model.graph.append(node)
    model.graph.outputs[0] = node.outputs[0]


def _answer_constant(artifact: BuiltArtifact, other: BuiltArtifact) -> Encoder:
    """The mean of the probe's own outputs, the most harmless constant there is."""
    probe = decode_probe((artifact.folder / artifact.manifest.file("probe").name).read_bytes())

    def freeze(model: ir.Model) -> None:
        _append(model, "Mul", np.zeros(probe.own.shape[1], np.float32))
        _append(model, "Add", probe.own.mean(axis=0))

    return _rewrite(freeze)(artifact, other)


def _answer_nan(model: ir.Model) -> None:
    _append(model, "Mul", np.array([np.nan], np.float32))


def _scale(factor: float, *, layers: slice) -> Fault:
    """The scale, or the weights, of the first linear in some of the blocks times `factor`."""

    def drift(model: ir.Model) -> None:
        names = sorted(name for name in model.graph.initializers if _SCALES.search(name))
        assert names
        for name in names[layers]:
            tensor = model.graph.initializers[name].const_value
            assert tensor is not None
            values = tensor.numpy()
            drifted = (values * factor).astype(values.dtype)
            model.graph.initializers[name].const_value = ir.tensor(drifted, name=name)

    return _rewrite(drift)


def _lose_weights(artifact: BuiltArtifact, other: BuiltArtifact) -> Encoder:
    """The second half of the weights file reads as zeros, as a hole in a file does."""
    path = artifact.folder / WEIGHTS_NAME
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 2)
        file.truncate(size)
    return _open(artifact)


def _swap_towers(artifact: BuiltArtifact, other: BuiltArtifact) -> Encoder:
    for name in (GRAPH_NAME, WEIGHTS_NAME):
        shutil.copyfile(other.folder / name, artifact.folder / name)
    return _open(artifact)


def _edit_tokenizer(change: Callable[[dict[str, Any]], None]) -> Fault:
    def fault(artifact: BuiltArtifact, other: BuiltArtifact) -> Encoder:
        path = artifact.folder / artifact.manifest.file("tokenizer").name
        fields = json.loads(path.read_bytes())
        change(fields)
        path.write_text(json.dumps(fields))
        return _open(artifact)

    return fault


def _keep_case(fields: dict[str, Any]) -> None:
    """Drops the step that lower-cases from the tokenizer's normalizer."""
    parts = fields["normalizer"].get("normalizers")
    if parts is None:
        fields["normalizer"] = None
    else:
        fields["normalizer"]["normalizers"] = [p for p in parts if p["type"] != "Lowercase"]


def _shift_ids(fields: dict[str, Any]) -> None:
    """The release before the last special token was added: every later id is one less."""
    vocabulary = fields["model"]["vocab"]
    if isinstance(vocabulary, list):
        vocabulary.append(vocabulary.pop(3))
    else:
        by_id = sorted(vocabulary, key=vocabulary.__getitem__)
        by_id.append(by_id.pop(3))
        fields["model"]["vocab"] = {piece: index for index, piece in enumerate(by_id)}


def _lose_pieces(fields: dict[str, Any]) -> None:
    """An earlier training of the tokenizer: the newest tenth of the pieces was not known yet."""
    model = fields["model"]
    if isinstance(model["vocab"], list):
        keep = len(model["vocab"]) * 9 // 10
        model["vocab"][keep:] = [
            [f"<unused{index}>", -1e4] for index in range(keep, len(model["vocab"]))
        ]
    else:
        model["merges"] = model["merges"][: len(model["merges"]) * 9 // 10]


def _pad_as_needed(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows as long as the longest of these texts, not as long as the tower's."""
    lengths = ids.shape[1] - (ids[:, ::-1] != ids[:, -1:]).argmax(axis=1) + 1
    return ids[:, : min(int(lengths.max()), ids.shape[1])]


def _cut(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Half of the length, and the last token of the text's row in all the other places."""
    return np.where(np.arange(ids.shape[1]) < ids.shape[1] // 2, ids, ids[:, -1:])


_BOTH: dict[str, Fault] = {
    "constant output": _answer_constant,
    "NaN": _rewrite(_answer_nan),
    "swapped towers": _swap_towers,
    "half of the weights zero": _lose_weights,
    "scale drift: one layer doubled": _scale(2.0, layers=slice(1)),
    "scale drift: all layers a tenth up": _scale(1.1, layers=slice(None)),
}
_VISION: dict[str, Fault] = {
    "another mean and std: CLIP's": _respecify(**CLIP),
    "another mean and std: ImageNet's": _respecify(**IMAGENET),
    "not normalised": _respecify(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    "not rescaled from 0..255": _respecify(rescale_factor=1.0),
    "BGR for RGB": _wrap(lambda pixels: pixels[:, ::-1]),
    "resize filter: nearest": _respecify(resample="nearest"),
    "resize filter: bilinear": _respecify(resample="bilinear"),
    "resize filter: lanczos": _respecify(resample="lanczos"),
}
_TEXT: dict[str, Fault] = {
    "another padding id": _respecify(pad_id=0),
    "padding only to the text's end": _wrap(_pad_as_needed),
    "cut at half the length": _wrap(_cut),
    "case kept": _edit_tokenizer(_keep_case),
    "stale tokenizer: ids shifted by one": _edit_tokenizer(_shift_ids),
    "stale tokenizer: a tenth of the pieces unknown": _edit_tokenizer(_lose_pieces),
}
