"""From a checkpoint's preprocessor_config.json to the manifest's ImageSpec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rsq.errors import BadSource
from rsq.manifest import ImageSpec
from rsq_server.build.checkpoint_files import read_json

# Pillow's numbers for its filters, which preprocessor_config.json stores.
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_BICUBIC = 3
_FILE = "preprocessor_config.json"


def read_image_spec(folder: Path, *, image_size: int, crops: bool) -> ImageSpec:
    """The specification for a tower that takes square images of `image_size` pixels.

    `crops`: where the size is a bare number, whether it means the shorter edge, as for CLIP, or
    both, as for SigLIP. Raises BadSource when the file is absent, lacks a field, asks for a step
    that rsq does not have, or gives another size than the tower's.
    """
    fields = read_json(folder, _FILE)
    if not fields:
        fields = read_json(folder, "processor_config.json").get("image_processor") or {}
    if not isinstance(fields, dict) or not fields:
        raise BadSource(f"The checkpoint has no {_FILE}, so its image preprocessing is unknown.")
    if not fields.get("do_resize", True):
        raise BadSource(f"The checkpoint's {_FILE} turns resizing off, which rsq does not support.")
    height, width, shortest_edge = _read_size(fields, crops)
    if (height, width) != (image_size, image_size):
        raise BadSource(
            f"The checkpoint's {_FILE} makes images of {height} x {width} pixels; its vision tower "
            f"takes {image_size} x {image_size}."
        )
    normalises, rescales = fields.get("do_normalize", True), fields.get("do_rescale", True)
    return ImageSpec(
        height=height,
        width=width,
        mean=_read_triple(fields, "image_mean") if normalises else (0.0, 0.0, 0.0),
        std=_read_triple(fields, "image_std") if normalises else (1.0, 1.0, 1.0),
        rescale_factor=_read_factor(fields) if rescales else 1.0,
        resample=_read_resample(fields),
        shortest_edge=shortest_edge,
    )


def _read_size(fields: dict[str, Any], crops: bool) -> tuple[int, int, int | None]:
    """Height, width, and the shorter edge where the centre is cut out of a larger image."""
    size = fields.get("size")
    if isinstance(size, int):
        size = {"shortest_edge": size} if crops else {"height": size, "width": size}
    if not isinstance(size, dict):
        raise _refuse("size")
    if "shortest_edge" not in size:
        if fields.get("do_center_crop", False):
            raise BadSource(
                f"The checkpoint's {_FILE} crops after resizing to a fixed size, which rsq does "
                "not support."
            )
        return *_read_pair(size, "size"), None
    crop = fields.get("crop_size")
    if isinstance(crop, int):
        crop = {"height": crop, "width": crop}
    if not isinstance(crop, dict) or not fields.get("do_center_crop", True):
        raise _refuse("crop_size")
    edge = size["shortest_edge"]
    if not isinstance(edge, int) or edge < 1:
        raise _refuse("size")
    return *_read_pair(crop, "crop_size"), edge


def _read_pair(size: dict[str, Any], field: str) -> tuple[int, int]:
    height, width = size.get("height"), size.get("width")
    if not isinstance(height, int) or not isinstance(width, int):
        raise _refuse(field)
    return height, width


def _read_triple(fields: dict[str, Any], field: str) -> tuple[float, float, float]:
    values = fields.get(field)
    if (
        not isinstance(values, list)
        or len(values) != 3
        or not all(isinstance(value, int | float) for value in values)
        or (field == "image_std" and 0 in values)
    ):
        raise _refuse(field)
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _read_factor(fields: dict[str, Any]) -> float:
    factor = fields.get("rescale_factor", 1 / 255)
    if not isinstance(factor, int | float) or factor <= 0:
        raise _refuse("rescale_factor")
    return float(factor)


def _read_resample(fields: dict[str, Any]) -> str:
    number = fields.get("resample", _BICUBIC)
    if number not in _RESAMPLE:
        raise _refuse("resample")
    return _RESAMPLE[number]


def _refuse(field: str) -> BadSource:
    return BadSource(f"The checkpoint's {_FILE} has no {field} that rsq can use.")
