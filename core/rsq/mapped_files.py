"""Parts of mapped files that this process has not read yet."""

from __future__ import annotations

from pathlib import Path

SMAPS = Path("/proc/self/smaps")


def unread_bytes(folder: Path, smaps: Path = SMAPS) -> int:
    """Bytes of the files below `folder` that are mapped and not resident, as the rows of an
    embedding table that no text has used; 0 where the kernel keeps no books of that."""
    try:
        lines = smaps.read_text().splitlines()
    except OSError:
        return 0
    below = f"{folder.resolve()}/"
    unread_kib = 0
    is_below = False
    for line in lines:
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):  # of a mapping: addresses, mode, offset, device, inode, path
            is_below = line.split(maxsplit=5)[-1].startswith(below)
        elif is_below and name == "Size:":
            unread_kib += int(rest.split()[0])
        elif is_below and name == "Rss:":
            unread_kib -= int(rest.split()[0])
    return max(unread_kib, 0) * 1024
