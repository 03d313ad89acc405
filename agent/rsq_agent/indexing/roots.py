"""The folders below which the agent itself may read files that a collection names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsq.errors import BadInput, EnvironmentFault


class Roots:
    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [root.resolve() for root in roots]

    def require_some(self) -> None:
        """Raises EnvironmentFault where nothing may be read."""
        if not self._roots:
            raise EnvironmentFault(
                "This agent may read no files, which a migration has to; start it with: rsq-agent "
                "serve --root DIR"
            )

    def check(self, uri: str) -> Path:
        """The file behind `uri`, with links followed. Raises BadInput for what is not an absolute
        path, is not there, or lies outside every root."""
        path = Path(uri)
        if not path.is_absolute() or ".." in path.parts or "\0" in uri:
            raise BadInput(f"{uri} is not an absolute path on the agent's machine.")
        try:
            resolved = path.resolve(strict=True)
        except (OSError, RuntimeError) as e:
            raise BadInput(f"{uri} can't be read: {getattr(e, 'strerror', None) or e}.") from e
        if not any(resolved.is_relative_to(root) for root in self._roots):
            raise BadInput(f"{uri} lies outside the folders that the agent may read (--root).")
        return resolved
