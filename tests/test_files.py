"""The folder is the truth: whole or not at all, no torn tail read, one writer, nothing outside, full disks named."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.errors import FolderError
from luthier.files import (
    append_lines,
    building,
    cache_folder,
    inside,
    locked,
    possible,
    read_json,
    read_lines,
    replacing,
    replacing_through,
    sha256_of,
    sha256_of_text,
    sweep,
    write_json,
    write_lines,
    write_text,
)

ROWS = [{"id": "ä\n\r\u2028b", "n": 1}, {"id": "2", "n": None}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\r\n\u2028", max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[1])


# --- whole files --------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half of the n")
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert path.read_text() == "old"
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_for_whom_the_umask_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the process's own: asking for it by `os.umask` sets it, and files of other threads are open to all."""
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", None)
            write_text(tmp_path / "a.txt", "text")
            with building(tmp_path / "folder") as part, replacing_through(tmp_path / "b.txt") as path:
                for by_a_library in (part / "a.txt", path):
                    by_a_library.touch(mode=0o600)
        for file in ("a.txt", "folder/a.txt", "b.txt"):
            assert (tmp_path / file).stat().st_mode & 0o777 == 0o640, file
    finally:
        os.umask(before)


def test_a_library_that_fails_or_is_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FolderError, match="No space left"), replacing_through(path) as part:
        (part.parent / ".own-name").write_text("half")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    left = tmp_path / ".a.txt.abc.part"
    left.mkdir()
    (left / ".own-name").write_text("half")
    sweep(path)
    with replacing_through(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"whole": True})
    code = (
        "import os, signal, sys; from pathlib import Path; from luthier.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert run(code, path).returncode == -9
    assert read_json(path) == {"whole": True}


def test_a_refusal_leaves_no_folder_behind(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    for name in ("ours", "theirs", "used"):
        with pytest.raises(ValueError), locked(tmp_path / name):
            if name == "used":
                write_text(tmp_path / name / "a", "x")
            raise ValueError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs", "used"]


def test_files_have_the_users_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_unknown_is_none_and_never_nan(tmp_path: Path) -> None:
    for write in (write_json, lambda path, value: write_lines(path, [value])):
        with pytest.raises(ValueError):
            write(tmp_path / "a.json", {"value": float("nan")})
    assert not (tmp_path / "a.json").exists()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON)
def test_what_is_written_is_read(value: object, tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    write_lines(tmp_path / "a.jsonl", [{"value": value}])
    append_lines(tmp_path / "a.jsonl", [{"value": value}])
    assert read_lines(tmp_path / "a.jsonl") == [{"value": value}] * 2


@pytest.mark.parametrize("content", [b"{", b"\xff", b""])
def test_what_is_no_json_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(FolderError, match=r"a\.json: cannot be read as JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(FolderError, match="no such file"):
        read_json(tmp_path / "b.json")
    with pytest.raises(FolderError, match="cannot be read"):
        read_json(tmp_path)


# --- line files ---------------------------------------------------------------------------------------------------


def test_a_torn_tail_is_dropped_and_cut_off(tmp_path: Path) -> None:
    """Torn anywhere: every cut of the last line reads as the lines before it, and writing goes on behind those."""
    path = tmp_path / "a.jsonl"
    write_lines(path, ROWS)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = ROWS[:1] if cut >= first else []
        assert read_lines(path) == kept
        append_lines(path, [{"id": "3"}])
        assert read_lines(path) == [*kept, {"id": "3"}]


def test_a_torn_tail_longer_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append_lines(path, ROWS)
    with path.open("ab") as file:
        file.write(b'{"id": "' + b"x" * 200_000)
    append_lines(path, ROWS)
    assert read_lines(path) == ROWS * 2
    path.write_bytes(b"x" * 200_000)
    append_lines(path, ROWS)
    assert read_lines(path) == ROWS


def test_a_missing_file_has_no_rows_and_no_rows_may_be_added(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "none.jsonl") == []
    append_lines(tmp_path / "a.jsonl", [])
    assert read_lines(tmp_path / "a.jsonl") == []


@pytest.mark.parametrize("line", [b'{"id": ', b"\xff\xfe", b"", b"[1]", b"null"])
def test_a_damaged_line_in_the_middle_is_refused(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": "1"}\n' + line + b'\n{"id": "2"}\n')
    with pytest.raises(FolderError, match=r"a\.jsonl: line 2 is damaged"):
        read_lines(path)


# --- locks, borders, disks ----------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from luthier.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_writer_at_a_time_and_a_kill_leaves_no_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(FolderError, match="another luthier process"), locked(tmp_path):
        pass
    holder.kill()
    holder.communicate(timeout=30)
    with locked(tmp_path), pytest.raises(FolderError, match="another luthier process"), locked(tmp_path):
        pass
    with locked(tmp_path, wait=True):
        pass


COUNT = """
import sys
from pathlib import Path
from luthier.files import locked
count = Path(sys.argv[1]) / "count"
for _ in range(300):
    with locked(Path(sys.argv[1]) / "lock", wait=True):
        count.write_text(str(int(count.read_text()) + 1))
"""


def test_who_waits_in_a_new_folder_waits_for_the_same_lock(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    writers = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "900"


def test_a_lock_that_was_taken_away_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken_away_meanwhile(file: IO[bytes], how: int) -> None:
        (tmp_path / "a" / ".lock").unlink()
        (tmp_path / "a").rmdir()

    monkeypatch.setattr(fcntl, "flock", taken_away_meanwhile)
    with pytest.raises(FolderError, match="another luthier process"), locked(tmp_path / "a"):
        pass


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "link/a", "a\0b"])
def test_a_name_cannot_leave_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "link").symlink_to(tmp_path)
    with pytest.raises(FolderError, match="inside"):
        inside(tmp_path / "home", name)


@pytest.mark.parametrize("name", ["a", "a/b.csv", "a/../b", "..a", "ä b"])
def test_a_name_inside_is_let_through(name: str, tmp_path: Path) -> None:
    assert inside(tmp_path, name).is_relative_to(tmp_path.resolve())


FULL = """
import resource, signal, sys
from pathlib import Path
from luthier import files
from luthier.errors import FolderError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
folder, rows = Path(sys.argv[1]), [{"id": "x" * 4000}]
for write in (
    lambda: files.write_text(folder / "a.json", "x" * 9000),
    lambda: files.write_lines(folder / "a.json", rows * 3),
    lambda: files.append_lines(folder / "a.jsonl", rows * 3),
    lambda: files.append_lines(folder / "a.jsonl", rows * 3),
):
    try:
        write()
    except FolderError as error:
        print(error)
"""


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", ["old"])
    append_lines(tmp_path / "a.jsonl", ROWS)
    done = run(FULL, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cannot be written (File too large)") == 4
    assert read_json(tmp_path / "a.json") == ["old"]
    rows = read_lines(tmp_path / "a.jsonl")
    assert rows[:2] == ROWS and all(len(row["id"]) == 4000 for row in rows[2:])
    append_lines(tmp_path / "a.jsonl", ROWS)
    assert read_lines(tmp_path / "a.jsonl")[-2:] == ROWS
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "a.jsonl"}


@pytest.mark.parametrize("write", [write_json, lambda path, value: append_lines(path, [value])])
def test_a_file_where_a_folder_should_be_is_a_sentence(write: object, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot be written"):
        write(tmp_path / "file" / "a.json", {})  # type: ignore[operator]
    with pytest.raises(FolderError, match="cannot be written"), locked(tmp_path / "file"):
        pass


def test_hashes_know_the_borders_of_texts(tmp_path: Path) -> None:
    assert sha256_of_text("ab", "c") != sha256_of_text("a", "bc") != sha256_of_text("abc")
    (tmp_path / "a").write_bytes(b"x" * (3 << 20))
    import hashlib

    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"x" * (3 << 20)).hexdigest()


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LUTHIER_CACHE", raising=False)
    assert cache_folder() == tmp_path / "luthier"
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


@pytest.mark.parametrize("variable", ["LUTHIER_CACHE", None])
def test_a_user_without_a_home_is_told_what_to_set(variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> None:
        raise KeyError("uid not found")

    for name in ("LUTHIER_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr("pwd.getpwnam", nobody)
    if variable:
        monkeypatch.setenv(variable, "~nobody/cache")
    with pytest.raises(FolderError, match=r"this user has no home folder, .*; set LUTHIER_CACHE to a folder"):
        cache_folder()


def test_a_device_or_a_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FolderError, match="is a device or a pipe"):
        write_text(pipe, "x")
    with pytest.raises(FolderError, match="is a device or a pipe"), building(pipe):
        pass
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "caf\udce9", "b" * 300, "c/" * 3000])
def test_a_name_that_no_file_can_have_is_a_sentence(name: str) -> None:
    with pytest.raises(FolderError, match="no file can have this name") as refused:
        possible(name)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 200


@pytest.mark.parametrize("name", ["", ".", "missing/deeper", "/dev/null", "\u00e9t\u00e9", "a\nb"])
def test_a_name_that_a_file_may_have_is_a_path(name: str) -> None:
    assert possible(name) == Path(name)
