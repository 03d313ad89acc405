"""Whether this thread had the cores when it wanted them."""

from __future__ import annotations

from pathlib import Path

SCHEDSTAT = Path("/proc/thread-self/schedstat")


class Contention:
    """What the calling thread waited for a core since this was made, by the kernel's books. Where
    it keeps none, nothing was waited for."""

    def __init__(self, path: Path = SCHEDSTAT) -> None:
        self._path = path
        self._ran_ns, self._waited_ns = self._read()

    def share(self) -> float:
        """Time that it could have run and had to wait, over both together: 0 to 1."""
        ran_ns, waited_ns = self._read()
        ran, waited = ran_ns - self._ran_ns, waited_ns - self._waited_ns
        return waited / (ran + waited) if waited > 0 else 0.0

    def _read(self) -> tuple[int, int]:
        try:
            ran_ns, waited_ns, _ = self._path.read_text().split()
            return int(ran_ns), int(waited_ns)
        except (OSError, ValueError):
            return 0, 0
