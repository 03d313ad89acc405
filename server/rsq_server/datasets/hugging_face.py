"""Folders as Hugging Face `datasets` lays out image sets ("imagefolder").

    train/metadata.jsonl or metadata.csv    file_name, text or caption or captions, label
    train/0001.png
    test/...

A metadata file may also lie beside the folders. Without one, the folders below train/ and test/ are
labels. Such sets have no split for calibration, so calibration reads `train` and evaluation `test`;
a metadata file without these folders has no splits and is used whole.

What `datasets` saves as Arrow or Parquet is refused: reading it would take pyarrow, a library of
its own size, for what a folder of images says as well.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsq.errors import BadSource
from rsq_server.datasets.fields import (
    read_captions,
    read_document,
    read_json_lines,
    read_label,
    read_text,
)
from rsq_server.datasets.image_files import find_image, require_count
from rsq_server.datasets.image_folder import list_images
from rsq_server.datasets.image_text_set import CALIBRATION_SPLIT, Sample

METADATA_FILES = ("metadata.jsonl", "metadata.csv")
_FOLDERS = ("train", "validation", "test")
_SPLITS = {CALIBRATION_SPLIT: "train"}
_TEXT_COLUMNS = ("captions", "caption", "text")
_SAVED = ("*.arrow", "*.parquet", "*/*.arrow", "*/*.parquet")


def is_hugging_face(root: Path) -> bool:
    """Whether a metadata file lies in `root` or a split's folder, or `root` has folders of splits
    and no others."""
    folders = _split_folders(root)
    if any(_find_metadata(folder) for folder in (root, *folders.values())):
        return True
    others = [path for path in root.iterdir() if path.is_dir() and path.name[0] != "."]
    return bool(folders) and len(others) == len(folders)


def refuse_saved(root: Path) -> None:
    """Raises BadSource for a folder with a data set saved as Arrow or Parquet."""
    for pattern in _SAVED:
        for path in root.glob(pattern):
            raise BadSource(
                f"{root} is a data set saved as Arrow or Parquet ({path.name}), which rsq does not "
                "read. Save its images as files in a folder train and a folder test, each with a "
                "metadata.jsonl whose lines have file_name and text."
            )


def read_hugging_face(root: Path, split: str) -> list[tuple[str, Sample]]:
    """(name, sample) of the images of `split`; where there is metadata, of those it lists.

    Raises BadSource naming the line at fault, or where there is no such split; BadInput for too
    many images.
    """
    root = root.resolve()
    folders = _split_folders(root)
    wanted = _SPLITS.get(split, split)
    if folders and wanted not in folders:
        raise BadSource(f"{root} has no folder {wanted!r}; it has {', '.join(folders)}.")
    folder = folders.get(wanted, root)
    metadata = _find_metadata(folder) or _find_metadata(root)
    if metadata is None:
        return list_images(folder)
    entries = []
    for where, fields in _read_rows(metadata):
        name = read_text(fields, "file_name", where)
        image = find_image(root, name, where, folder=metadata.parent)
        if image.is_relative_to(folder):
            sample = Sample(image, read_label(fields, where), _read_texts(fields, where))
            entries.append((name, sample))
            require_count(len(entries), metadata)
    if not entries:
        raise BadSource(f"{metadata} lists no images in {folder}.")
    return entries


def _split_folders(root: Path) -> dict[str, Path]:
    return {name: root / name for name in _FOLDERS if (root / name).is_dir()}


def _find_metadata(folder: Path) -> Path | None:
    files = (folder / name for name in METADATA_FILES)
    return next((file for file in files if file.is_file()), None)


def _read_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    return read_json_lines(file) if file.suffix == ".jsonl" else _read_csv(file)


def _read_csv(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows by column; empty cells are left out."""
    try:
        text = read_document(file).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise BadSource(f"{file} is not text in UTF-8.") from e
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in rows:
            where = f"{file}, line {rows.line_num}"
            if None in row:
                raise BadSource(f"{where} has more cells than there are columns.")
            yield where, {column: cell for column, cell in row.items() if cell}
    except csv.Error as e:
        raise BadSource(f"{file}, line {rows.reader.line_num} is not CSV: {e}.") from e


def _read_texts(fields: dict[str, Any], where: str) -> tuple[str, ...]:
    value: Any = next((fields[name] for name in _TEXT_COLUMNS if fields.get(name)), [])
    return read_captions([value] if isinstance(value, str) else value, where)
