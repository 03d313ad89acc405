"""What the paths of `index add` name: images, folders of them, STAC documents, lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rsq.errors import BadInput
from rsq_agent.indexing.archive import find_images
from rsq_agent.indexing.image_entry import ImageEntry, Skipped
from rsq_agent.indexing.stac import read_stac
from rsq_agent.indexing.uri_list import read_json_lines, read_parquet

_READERS: dict[str, Callable[[Path], Iterator[ImageEntry | Skipped]]] = {
    ".json": read_stac,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
    ".geoparquet": read_parquet,
}


def find_entries(paths: Sequence[Path]) -> Iterator[ImageEntry | Skipped]:
    """The images that documents and lists name, with what these know of them, then those of files
    and folders that no document named.

    Raises BadInput before the first entry for a path that isn't there, and on the way for a folder
    or a document that can't be read.
    """
    documents = [path for path in paths if _is_document(path)]
    for document in documents:
        if not document.is_file():
            raise BadInput(f"There is no readable file {str(document)!r}.")
    others = [path for path in paths if path not in documents]
    return _find(documents, find_images(others) if others else None)


def _is_document(path: Path) -> bool:
    return path.suffix.lower() in _READERS and not path.is_dir()


def _find(
    documents: Sequence[Path], images: Iterator[Path] | None
) -> Iterator[ImageEntry | Skipped]:
    named: set[str] = set()
    for document in documents:
        for entry in _READERS[document.suffix.lower()](document):
            if images is not None and isinstance(entry, ImageEntry):
                named.add(entry.uri)
            yield entry
    for path in images or ():
        if str(path) not in named:
            yield ImageEntry(str(path))
