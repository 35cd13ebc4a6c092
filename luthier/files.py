"""Files that survive a kill or a power failure: whole files in one step, line files that grow, one writer at a time.

A whole file or folder is written under a hidden name and then renamed, so a reader sees the old one or the new one.
A line file grows by batches of lines, and each batch is flushed to disk. A kill may tear the last line; reading drops
it. Text is UTF-8, and keys stand in the order of the record's fields.

A power failure must not leave a name without its data. So the data is synced first, then the file is renamed, then the
folder that holds the name is synced. When a function here returns, what it wrote survives a power failure.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from luthier.errors import FolderError


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turns an error of the operating system (full disk, no permission) into a FolderError of one sentence."""
    try:
        yield
    except Exception as error:
        if (reason := _refusal(error)) is None:
            raise
        raise FolderError(
            f"{path}: cannot be written ({reason}); nothing that was there is lost, "
            "make room or choose another folder and start again"
        ) from error


def _refusal(error: Exception) -> str | None:
    """What the operating system said, from Python or from a library in Rust; None for an error of another kind."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or str(error)
    said = re.search(r"I/O error: (.*?) \(os error \d+\)", str(error))  # how safetensors tells it
    return said[1] if said else None


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A hidden name beside `path`, for what will replace it. What has that name vanishes when the block fails.

    Raises FolderError when the disk refuses.
    """
    refuse_link(path)
    _refuse_device(path)
    with _refusals(path):
        _make(path.parent)
        part = _aside(path)
        try:
            yield part
        except BaseException:
            _remove([part])
            raise


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write; when the block ends well it replaces `path` in one step, otherwise it vanishes.

    Raises FolderError when the disk refuses.
    """
    # Opened anew and not by `tempfile`, whose files are for the user alone: so the system applies the umask.
    with _beside(path) as part:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_names(path.parent)


@contextlib.contextmanager
def replacing_through(path: Path) -> Iterator[Path]:
    """`replacing` for a library that opens its file itself, and perhaps others beside it: where it has to write.

    Raises FolderError when the disk refuses.
    """
    with _beside(path) as part:
        part.mkdir()
        yield part / path.name
        _sync_all(part)
        os.replace(part / path.name, path)
        _sync_names(path.parent)
        _remove([part])


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Path]:
    """An empty folder to fill; when the block ends well it becomes `folder` in one step, otherwise it vanishes.

    It replaces a folder of that name, and removes what a kill left of an earlier try. Raises FolderError when the disk
    refuses.
    """
    with _beside(folder) as part:
        sweep(folder)
        part.mkdir()
        try:
            yield part
            _sync_all(part)
            if folder.exists():
                folder.rename(_aside(folder))
            part.rename(folder)
            _sync_names(folder.parent)
        finally:
            sweep(folder)


def copy_of_files(source: Path, target: Path, *, shared: bool) -> None:
    """The files of a folder in another one that is there. `shared`: as hard links where the disk has them, for files
    that are never written to again; they take no space."""
    with _refusals(target):
        for path in sorted(source.iterdir()):
            place = target / path.name
            with contextlib.suppress(OSError):
                if shared:
                    os.link(path, place)
                    continue
            shutil.copy2(path, place)


def sweep(path: Path) -> None:
    """Removes what a kill left of `path` in the making: files and folders called .NAME.*.part beside it."""
    _remove(path.parent.glob(f".{glob.escape(path.name)}.*.part"))


def sweep_all(folder: Path) -> None:
    """Removes all that a kill left in the making in a folder and below it."""
    _remove(list(folder.rglob(".*.part")))


def _remove(parts: Iterable[Path]) -> None:
    for part in parts:
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    """The folder and those above it, each synced into the one that holds it."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing):
        _sync_names(one.parent)


def _sync_names(folder: Path) -> None:
    """Brings the names in a folder to disk: files that were added, removed or renamed."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that has nothing to sync here
            raise
    finally:
        os.close(handle)


def _sync_all(folder: Path) -> None:
    """Brings every file below a folder to disk, then the names, the deepest first.

    A file is readable and writable for whom the folder is: safetensors makes its files for the user alone. One that has
    another name elsewhere too (copy_of_files) keeps its rights.
    """
    allowed = stat.S_IMODE(folder.stat().st_mode) & 0o666
    for above, _, files in os.walk(folder, topdown=False):
        for name in files:
            with open(Path(above) / name, "rb") as file:
                about = os.fstat(file.fileno())
                if about.st_nlink == 1:
                    os.fchmod(file.fileno(), stat.S_IMODE(about.st_mode) | allowed)
                os.fsync(file.fileno())
        _sync_names(Path(above))


def _aside(path: Path) -> Path:
    """A hidden name beside `path` that nobody else has."""
    return path.parent / f".{path.name}.{secrets.token_hex(8)}.part"


def write_text(path: Path, text: str) -> None:
    """Replaces `path` by `text` in one step."""
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replaces `path` by `value` as indented JSON in one step. NaN is refused: unknown is None."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in `path`. Raises FolderError when it is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FolderError(f"{path}: no such file; is this a folder that luthier made?") from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise FolderError(f"{path}: cannot be read as JSON ({error})") from None


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Replaces `path` by one JSON line a row in one step."""
    with replacing(path) as file:
        for row in rows:
            file.write(_line(row))


def append_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Adds one JSON line a row and flushes them to disk; a torn tail left by a kill is cut off first."""
    refuse_link(path)
    with _refusals(path):
        _make(path.parent)
        is_new = not path.exists()
        with open(path, "ab+") as file:
            whole = _whole_bytes(file)
            if whole < file.seek(0, os.SEEK_END):
                file.truncate(whole)
            file.write(b"".join(map(_line, rows)))
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_names(path.parent)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a line file that luthier wrote. A missing file has none; a torn last line is dropped.

    Raises FolderError for another bad line: a kill tears only the last one.
    """
    if not path.exists():
        return []
    rows = []
    with open(path, "rb") as file:
        data = file.read()
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            row = None
        if not isinstance(row, dict):
            raise FolderError(f"{path}: line {number} is damaged; mend that line or take it out")
        rows.append(row)
    return rows


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _whole_bytes(file: IO[bytes], block: int = 1 << 16) -> int:
    """How many bytes of the file end in a newline, looking from its end."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - block)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


@contextlib.contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """One writer in `folder` at a time; the lock goes with the process, so a kill leaves none behind.

    A new folder in which nothing was written is removed again. It stays where others may `wait` for it, since they
    would hold a lock on a file that is gone. Raises FolderError when another process holds the lock and `wait` is
    False.
    """
    lock = folder / ".lock"
    refuse_link(lock)
    with _refusals(folder):
        is_passing = not wait and not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        file = open(lock, "ab")  # noqa: SIM115 - held open for the whole block
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # The last holder may have removed the file with its folder; such a lock guards nothing.
            is_held = lock.exists() and os.path.samestat(os.fstat(file.fileno()), lock.stat())
        except BlockingIOError:
            is_held = False
        if not is_held:
            raise FolderError(f"{folder}: another luthier process is working here; wait for it to end")
        try:
            yield
        finally:
            if is_passing and [path.name for path in folder.iterdir()] == [".lock"]:
                lock.unlink()
                folder.rmdir()


def sha256_of(*paths: Path) -> str:
    """One SHA-256 over the bytes of the files, in the order given (hex)."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def sha256_of_text(*parts: str) -> str:
    """One SHA-256 over the texts, each ended by a zero byte so that borders count (hex)."""
    return hashlib.sha256(b"".join(part.encode() + b"\0" for part in parts)).hexdigest()


def refuse_link(path: Path) -> None:
    """Raises FolderError where `path` is a symbolic link: what is written or read there would lie elsewhere."""
    if path.is_symlink():
        raise FolderError(f"{path}: is a symbolic link, and links inside a study are not followed; put the file there")


def _refuse_device(path: Path) -> None:
    """Raises FolderError where `path` is no file and no folder, such as /dev/null: a user with all rights would replace
    the device of the whole machine by a file."""
    with _refusals(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise FolderError(f"{path}: is a device or a pipe, and no file; name a file")


def refuse_links_in(folder: Path) -> None:
    """Raises FolderError where anything below `folder` is a symbolic link; the folder itself may be one."""
    for above, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            refuse_link(Path(above) / name)


def possible(path: str | Path) -> Path:
    """The path. Raises FolderError for a name that no file can have, so that no later step stumbles over it."""
    shown = "".join(sign if sign.isprintable() else "\ufffd" for sign in str(path)[:80])
    try:
        if not os.path.lexists(path):  # what is there may have any name, as bytes that the locale does not read
            str(path).encode()
        os.lstat(path)
    except ValueError:  # a zero byte, or bytes of no letter
        raise FolderError(f"'{shown}': no file can have this name; give one of letters") from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise FolderError(f"'{shown}': no file can have this name ({error.strerror}); give another") from None
    return Path(path)


def inside(folder: Path, name: str) -> Path:
    """`folder / name`, refused with FolderError when it would leave the folder."""
    # A zero byte is no part of any name, and resolve() would stumble over it.
    if "\0" in name or not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise FolderError(f"{folder}: '{name}' lies outside this folder; name a file inside it")
    return (folder / name).resolve()


def cache_folder() -> Path:
    """Where converted models and the test-opening counts live: $LUTHIER_CACHE, else the user's cache folder.

    Raises FolderError for a user without a home folder, as in some containers.
    """
    given = os.environ.get("LUTHIER_CACHE")
    base = given or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(base).expanduser()
    except RuntimeError:
        raise FolderError(
            f"{base}: this user has no home folder, so there is no place for converted models and for the count of "
            "looks at test sets; set LUTHIER_CACHE to a folder"
        ) from None
    return folder if given else folder / "luthier"
