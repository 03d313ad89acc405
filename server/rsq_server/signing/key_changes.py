"""Who may sign what, and how that changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key
from tuf.api.metadata import Root

from rsq.errors import BadInput
from rsq.updates.names import TOP_LEVEL
from rsq_server.signing.repository import Repository
from rsq_server.signing.roles import missing_signatures


def rotate_key(root: Root, role: str, beginning: str | None) -> Callable[[Root, Key], None]:
    """The change that puts a new key in place of one of `role`: the only one, or the one whose id
    begins so. Raises BadInput where that is not one key."""
    old = _find_key(root, role, beginning)

    def change(root: Root, new: Key) -> None:
        root.revoke_key(old, role)
        root.add_key(new, role)

    return change


def revoke_key(root: Root, role: str, beginning: str) -> Callable[[Root], None]:
    """The change that takes a key away. Raises BadInput where too few would be left to sign."""
    old = _find_key(root, role, beginning)
    known = root.roles[role]
    if len(known.keyids) - 1 < known.threshold:
        raise BadInput(
            f"{role} needs {known.threshold} signatures and would have fewer keys; replace the key "
            f"instead: rsq-server trust rotate {role} --key {beginning}"
        )

    def change(root: Root) -> None:
        root.revoke_key(old, role)

    return change


def free_name(folder: Path, role: str) -> str:
    """A name for a new key file of `role`."""
    number = 1
    while (folder / f"{role}-{number}.pem").exists():
        number += 1
    return f"{role}-{number}"


def describe(repository: Repository) -> list[dict[str, Any]]:
    """A row for each role: its version, expiry, threshold, key ids, and how many signatures a
    change of it waits for. Raises NotFound where there is no repository."""
    root = repository.current("root").signed
    rows = []
    for role in TOP_LEVEL:
        signed = repository.current(role).signed
        staged = repository.staged(role)
        known = root.roles[role]
        roots = [root, staged.signed] if staged is not None and role == "root" else [root]
        rows.append(
            {
                "role": role,
                "version": signed.version,
                "expires": signed.expires.isoformat(),
                "threshold": known.threshold,
                "keys": list(known.keyids),
                "missing": 0 if staged is None else missing_signatures(staged, roots),
            }
        )
    return rows


def _find_key(root: Root, role: str, beginning: str | None) -> str:
    if role not in TOP_LEVEL:
        raise BadInput(f"{role[:40]!r} is not a role; write one of {', '.join(TOP_LEVEL)}.")
    found = [keyid for keyid in root.roles[role].keyids if keyid.startswith(beginning or "")]
    if len(found) != 1:
        listed = ", ".join(keyid[:8] for keyid in root.roles[role].keyids)
        raise BadInput(f"Name one key of {role} by the beginning of its id; it has {listed}.")
    return found[0]
