"""The original RSICD JSON (Lu et al. 2017), in the form that Karpathy gave to captioned sets.

    {"images": [{"filename": "airport_1.jpg", "split": "train", "sentences": [{"raw": "..."}]}]}

RSICD has the splits train, val and test and none for calibration, so calibration reads `train` and
evaluation `test`. An image's label is its file name up to the last underscore and number, where
it has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsq.errors import BadSource
from rsq_server.datasets.fields import (
    parse_json,
    read_captions,
    read_document,
    read_text,
    require_object,
)
from rsq_server.datasets.image_files import find_image, require_count
from rsq_server.datasets.image_text_set import CALIBRATION_SPLIT, Sample

RSICD_FILE = "dataset_rsicd.json"
_SPLITS = {CALIBRATION_SPLIT: "train"}
_LABELLED = re.compile(r"(.+)_\d+\.\w+", re.ASCII)


def read_rsicd(file: Path, split: str) -> list[tuple[str, Sample]]:
    """(file name, sample) of the images of `split`. They lie beside the file or in one sub-folder,
    the first that has the first image.

    Raises BadSource naming the record at fault, or where none is of `split`; BadInput for too many
    images.
    """
    root = file.parent.resolve()
    wanted = _SPLITS.get(split, split)
    entries: list[tuple[str, Sample]] = []
    splits: set[str] = set()
    folder = None
    for where, fields in _read_records(file):
        name, own_split = (read_text(fields, key, where) for key in ("filename", "split"))
        splits.add(own_split)
        if own_split != wanted:
            continue
        folder = folder or _image_folder(root, name)
        image = find_image(root, name, where, folder=folder)
        entries.append((name, Sample(image, _label(name), _read_sentences(fields, where))))
        require_count(len(entries), file)
    if not entries:
        found = ", ".join(sorted(splits)) or "no images"
        raise BadSource(f"{file} has no images of the split {wanted!r}; it has {found}.")
    return entries


def _read_records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    document = require_object(parse_json(read_document(file), str(file)), str(file))
    records = document.get("images")
    if not isinstance(records, list):
        raise BadSource(f"{file} is not RSICD's JSON: it has no list in 'images'.")
    for number, record in enumerate(records, 1):
        where = f"{file}, image {number}"
        yield where, require_object(record, where)


def _read_sentences(fields: dict[str, Any], where: str) -> tuple[str, ...]:
    """Each sentence as it was written, blank ones left out."""
    sentences = fields.get("sentences", [])
    if not isinstance(sentences, list) or not all(isinstance(s, dict) for s in sentences):
        raise BadSource(f"{where} has sentences that are not a list of objects.")
    written = [sentence.get("raw") for sentence in sentences]
    return read_captions([raw for raw in written if raw is None or str(raw).strip()], where)


def _label(name: str) -> str | None:
    found = _LABELLED.fullmatch(name.rpartition("/")[2])
    return found[1] if found else None


def _image_folder(root: Path, name: str) -> Path:
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        try:
            if (folder / name).is_file():
                return folder
        except OSError:  # a name too long, which find_image refuses with its record
            break
    return root
