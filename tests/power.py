"""A power cut, at every moment at which something reaches the disk.

`recorded` watches a folder while a block runs. A file's bytes count as written when they were synced, and a name counts
when its folder was synced after it came, went or changed. At every sync, rename and removal two disks are kept, as they
may be found when the lights come back:

    lost   nothing that was not synced is there: old names, old bytes
    torn   every name is there already, and of bytes that were not synced the first half

Libraries that write through C or Rust are watched as well, since what counts is what lies in the folder at a sync.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Names = dict[str, int]  # name -> inode


@dataclass
class Disk:
    """What is safely on disk below `root`, by inode; and the cuts that were kept."""

    root: Path
    keep: Path
    every: int = 1  # keep each so-many-th moment
    names: dict[int, Names] = field(default_factory=dict)
    bytes: dict[int, bytes] = field(default_factory=dict)
    moments: int = 0
    cuts: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in [self.root, *(path for path in self.root.rglob("*") if path.is_dir())]:
            self.sync_folder(folder)
        for file in (path for path in self.root.rglob("*") if path.is_file()):
            self.bytes[file.stat().st_ino] = file.read_bytes()

    # The inode of what was removed may be given to something of the other kind.
    def sync_folder(self, folder: Path) -> None:
        self.names[inode := folder.stat().st_ino] = {path.name: path.lstat().st_ino for path in folder.iterdir()}
        self.bytes.pop(inode, None)

    def sync_file(self, file: Path) -> None:
        self.bytes[inode := file.stat().st_ino] = file.read_bytes()
        self.names.pop(inode, None)

    def moment(self) -> None:
        """Keeps both disks as they would be found now."""
        self.moments += 1
        if self.moments % self.every:
            return
        here = {path.lstat().st_ino: path for path in self.root.rglob("*")}
        lost, torn = (self.keep / f"{self.moments:04d}-{kind}" for kind in ("lost", "torn"))
        self._lost(self.root.stat().st_ino, lost, here)
        self._torn(torn)
        self.cuts += [lost, torn]

    def _lost(self, folder: int, into: Path, here: dict[int, Path]) -> None:
        into.mkdir(parents=True)
        for name, inode in self.names.get(folder, {}).items():
            is_folder = inode in self.names or (inode in here and here[inode].is_dir())
            if is_folder:
                self._lost(inode, into / name, here)
            else:
                (into / name).write_bytes(self.bytes.get(inode, b""))

    def _torn(self, into: Path) -> None:
        shutil.copytree(self.root, into, symlinks=True)
        for file in (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()):
            data, synced = file.read_bytes(), self.bytes.get(file.stat().st_ino, b"")
            if data != synced:
                whole = synced if data.startswith(synced) else b""  # what was appended is torn, not what stood before
                (into / file.relative_to(self.root)).write_bytes(data[: (len(whole) + len(data)) // 2])


@contextlib.contextmanager
def recorded(root: Path, keep: Path, every: int = 1) -> Iterator[Disk]:
    """Watches `root` while the block runs, and keeps what a power cut would leave of it below `keep`."""
    disk, root = Disk(root, keep, every), root.resolve()

    def inside(path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and Path(path).absolute().is_relative_to(root)

    def synced(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        real_sync(handle)
        if inside(path) and path.exists():
            disk.moment()
            (disk.sync_folder if path.is_dir() else disk.sync_file)(path)
            disk.moment()

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            found = real(*arguments, **named)
            if any(map(inside, arguments)):
                disk.moment()
            return found

        return call

    real_sync = os.fsync
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", synced)
        for name in ("replace", "rename", "unlink", "remove", "rmdir"):
            patch.setattr(os, name, watched(getattr(os, name)))
        yield disk
