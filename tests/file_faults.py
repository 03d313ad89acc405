"""Crashes, errors and power cuts at any file operation of a piece of work.

The work runs in a forked process that counts its operations on files below one folder. Before the
chosen one the process ends at once, or the power goes and with it all that was not synced, or the
operation fails. A forked process ends without any cleaning up, so nothing is as polite as an
exception. Call from a process without threads.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KILL = "kill"
POWER = "power cut"
FAULTS = (KILL, POWER, "ENOSPC", "EIO", "EACCES")

_CRASHED = 77  # exit status of a process that was made to end
_BY_PATH = ("mkdir", "rmdir", "unlink", "remove", "replace", "rename", "link", "truncate")
_BY_DESCRIPTOR = ("fsync", "fdatasync", "ftruncate", "pwrite", "pwritev", "write")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """`operation` is what the fault came before, None where the work had fewer operations. `error`
    is what the work raised, as its type and text."""

    operation: str | None
    error: str | None


def run_with_fault(
    work: Callable[[Tell], None], folder: Path, *, fault: str, before: int
) -> Outcome:
    """Runs `work` with `fault` before its operation number `before` below `folder`, from 0.

    After a power cut `folder` holds what had been synced, and nothing else: a file whose bytes were
    not synced is empty, a name that its folder's sync did not cover is as it was. `work` is handed
    a function to tell of operations that are none on files, such as those of a database.
    """
    note = folder.with_name(f"{folder.name}.note")
    note.unlink(missing_ok=True)

    def run() -> None:
        operations = _Operations(folder, note, fault, before)
        operations.patch()
        error = None
        try:
            work(operations.count)
        except Exception as e:  # noqa: BLE001 - judged by whoever asked
            error = f"{type(e).__name__}: {e}"
        operations.leave_note(error)

    code = run_forked(run)
    if code not in (0, _CRASHED):
        raise RuntimeError(f"the process ended with {code}")
    found = json.loads(note.read_text())
    note.unlink()
    synced = _synced_folder(folder)
    if synced.exists():
        shutil.rmtree(folder)
        synced.rename(folder)
    return Outcome(found["operation"], found["error"])


def run_forked(work: Callable[[], None]) -> int:
    """Exit status of a forked process that does `work`: 0, or 1 where it raised."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except Exception:  # noqa: BLE001 - a forked process must not go on as its parent
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


class _Operations:
    """Counts operations of this process and brings the fault about."""

    def __init__(self, folder: Path, note: Path, fault: str, before: int) -> None:
        self._folder = folder
        self._note = note
        self._fault = fault
        self._left = before
        self._met: str | None = None
        self._write, self._leave = note.write_text, os._exit
        self._disk = _Disk(folder) if fault == POWER else None

    def patch(self) -> None:
        for name in _BY_PATH:
            self._wrap(os, name, self._is_path_here)
        for name in _BY_DESCRIPTOR:
            self._wrap(os, name, self._is_descriptor_here)
        self._wrap(os, "open", self._is_written_here)
        for module in (builtins, io):
            self._wrap(module, "open", self._is_written_here)

    def count(self, operation: str) -> None:
        if self._left == 0:
            self._left = -1
            self._met = operation
            if self._fault == KILL:
                self._crash()
            elif self._disk is not None:
                self._disk.cut_power()
                self._crash()
            else:
                number = getattr(errno, self._fault)
                raise OSError(number, os.strerror(number))
        self._left -= 1

    def leave_note(self, error: str | None = None) -> None:
        self._left = -1
        self._write(json.dumps({"operation": self._met, "error": error}))

    def _crash(self) -> None:
        self.leave_note()
        self._leave(_CRASHED)

    def _wrap(self, module: Any, name: str, concerns: Callable[..., bool]) -> None:
        original = getattr(module, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            if self._left < 0 or not concerns(*arguments, **options):
                return original(*arguments, **options)
            self.count(name)
            result = original(*arguments, **options)
            if self._disk is not None and name in ("fsync", "fdatasync"):
                self._disk.sync(arguments[0])
            return result

        setattr(module, name, wrapped)

    def _is_path_here(self, path: Any, *arguments: Any, **options: Any) -> bool:
        if options.get("dir_fd") is not None:
            return self._is_descriptor_here(options["dir_fd"])
        return not isinstance(path, int) and Path(os.path.abspath(path)).is_relative_to(
            self._folder
        )

    def _is_descriptor_here(self, descriptor: int, *arguments: Any, **options: Any) -> bool:
        try:
            return self._is_path_here(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            return False

    def _is_written_here(self, path: Any, *arguments: Any, **options: Any) -> bool:
        mode = arguments[0] if arguments else options.get("mode", options.get("flags", "r"))
        writes = mode & _WRITING if isinstance(mode, int) else set(mode) & set("wax+")
        return bool(writes) and not isinstance(path, int) and self._is_path_here(path)


class _Disk:
    """What would be left of a folder without power: the bytes of each file at its last sync, the
    names of each folder at its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bytes: dict[int, bytes] = {}  # by inode
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}  # by inode: inode, is a folder
        self._open: list[int] = []  # keeps inodes from being used again
        for path in (folder, *folder.rglob("*")):
            descriptor = os.open(path, os.O_RDONLY)
            self.sync(descriptor)
            os.close(descriptor)

    def sync(self, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        path = f"/proc/self/fd/{descriptor}"
        if os.path.isdir(path):
            self._names[inode] = {}
            for entry in os.scandir(path):
                try:
                    self._open.append(os.open(entry.path, os.O_RDONLY))
                except FileNotFoundError:
                    continue  # another thread was faster
                self._names[inode][entry.name] = (entry.inode(), entry.is_dir())
        else:
            with open(path, "rb") as file:
                self._bytes[inode] = file.read()
        self._open.append(os.dup(descriptor))

    def cut_power(self) -> None:
        """Writes what is left beside the folder."""
        self._restore(_synced_folder(self._folder), os.stat(self._folder).st_ino)

    def _restore(self, target: Path, inode: int) -> None:
        target.mkdir()
        for name, (child, is_folder) in self._names.get(inode, {}).items():
            if is_folder:
                self._restore(target / name, child)
            else:
                (target / name).write_bytes(self._bytes.get(child, b""))


def _synced_folder(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.synced")
