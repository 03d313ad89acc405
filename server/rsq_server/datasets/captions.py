"""`captions.jsonl`: a line for each image, with image, split and optionally label and captions."""

from __future__ import annotations

from pathlib import Path

from rsq.errors import BadSource
from rsq_server.datasets.fields import read_captions, read_json_lines, read_label, read_text
from rsq_server.datasets.image_files import find_image, require_count
from rsq_server.datasets.image_text_set import Sample

CAPTIONS_FILE = "captions.jsonl"


def read_captions_file(file: Path, split: str) -> list[tuple[str, Sample]]:
    """(name, sample) of the lines of `split`; images are relative to the file's folder.

    Raises BadSource naming the line at fault, or where no line is of `split`; BadInput for too many
    images.
    """
    root = file.parent.resolve()
    entries: list[tuple[str, Sample]] = []
    splits: set[str] = set()
    for where, fields in read_json_lines(file):
        name, own_split = (read_text(fields, key, where) for key in ("image", "split"))
        label = read_label(fields, where)
        captions = read_captions(fields.get("captions", []), where)
        splits.add(own_split)
        if own_split != split:
            continue
        entries.append((name, Sample(find_image(root, name, where), label, captions)))
        require_count(len(entries), file)
    if not entries:
        found = ", ".join(sorted(splits)) or "no lines"
        raise BadSource(f"{file} has no images of the split {split!r}; it has {found}.")
    return entries
