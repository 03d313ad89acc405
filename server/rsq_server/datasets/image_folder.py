"""A folder of images, used whole. The first sub-folder an image lies in is its label."""

from __future__ import annotations

from pathlib import Path

from rsq_server.datasets.fields import check_text
from rsq_server.datasets.image_files import IMAGE_SUFFIXES, require_count
from rsq_server.datasets.image_text_set import Sample


def list_images(root: Path) -> list[tuple[str, Sample]]:
    """(name relative to `root`, sample) of every image below `root` that is not hidden.

    Raises BadSource for a name that is no text, BadInput for too many images.
    """
    entries = []
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        check_text(relative.as_posix(), f"The name of an image in {root}")
        label = relative.parts[0] if len(relative.parts) > 1 else None
        entries.append((relative.as_posix(), Sample(path, label, ())))
        require_count(len(entries), root)
    return entries
