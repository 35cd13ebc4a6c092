"""Text to train on: docstrings that every machine has, or a folder, a .jsonl or a .txt of the user's.

The docstrings are those of the standard library and of luthier's own required packages, read where they are installed:
one document a module. A paragraph that stood in an earlier document is dropped. Some packages are held out whole (out
of domain), and of the other documents a share (in domain). The hash of all texts stands in every result; results of
different hashes are not compared, since other versions have other docstrings.

This file imports no torch.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from luthier.errors import DataError
from luthier.files import cache_folder, sha256_of_text
from luthier.progress import bar
from luthier.results.record import read_lines_of, write_lines_of
from luthier.task.rows import read_rows

DOCSTRINGS = "docstrings"  # the name of the text that every machine has
HELD_OUT_PACKAGES = ("jinja2", "matplotlib")  # out of domain
HELD_OUT_SHARE = 0.05  # of the other documents: in domain
SHORTEST = 200  # characters of a document
_TEXTS = (".txt", ".md", ".rst")


@dataclass(frozen=True)
class Document:
    """A text under its name; `group` is its package or folder."""

    name: str
    group: str
    text: str

    @property
    def bytes(self) -> int:
        """In UTF-8."""
        return len(self.text.encode())


@dataclass(frozen=True)
class Corpus:
    """Documents kept apart: to train on, held out of the same domain, held out of another one.

    Held-out documents stand in an order drawn by their names, so the first ones are a sample of all.
    """

    train: tuple[Document, ...]
    held_out: tuple[Document, ...]
    elsewhere: tuple[Document, ...]
    sha256: str  # over names and texts, in order

    @property
    def bytes(self) -> int:
        """UTF-8 bytes to train on."""
        return sum(document.bytes for document in self.train)


def read_corpus(where: str = DOCSTRINGS) -> Corpus:
    """The corpus of a name: DOCSTRINGS, a folder of texts, a .txt, or a .jsonl with a field `text`, else `dialogue`.

    Raises DataError where there is nothing to read, or too few documents to hold any out.
    """
    return corpus_of(documents_of(where), where)


def documents_of(where: str) -> list[Document]:
    """The documents of a name, as they are. Raises DataError where there is nothing to read."""
    return list(_docstrings() if where == DOCSTRINGS else _texts(Path(where)))


def corpus_of(documents: Iterable[Document], where: str, shortest: int = SHORTEST) -> Corpus:
    """Documents of at least `shortest` characters without repeated paragraphs, kept apart. `where` is their name.

    Raises DataError for too few documents to hold any out.
    """
    held_out_groups = HELD_OUT_PACKAGES if where == DOCSTRINGS else ()
    kept = list(_without_repeated_paragraphs(documents, shortest))
    elsewhere = tuple(one for one in kept if one.group in held_out_groups)
    inside = [one for one in kept if one.group not in held_out_groups]
    held_out = tuple(one for one in inside if _draw(one.name) < HELD_OUT_SHARE)
    if not held_out and len(inside) > 1:
        held_out = (min(inside, key=lambda one: _draw(one.name)),)
    held_out, elsewhere = (tuple(sorted(some, key=lambda one: _draw(one.name))) for some in (held_out, elsewhere))
    names = {one.name for one in held_out}
    train = tuple(one for one in inside if one.name not in names)
    if not train or not held_out:
        raise DataError(
            f"it holds {len(inside)} documents of {shortest} characters or more; give at least two", file=where
        )
    sha256 = sha256_of_text(*(part for one in kept for part in (one.name, one.text)))
    return Corpus(train, held_out, elsewhere, sha256)


def _draw(name: str) -> float:
    """A number from 0 to 1 that depends on the name alone, so that a document is on one side for ever."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _without_repeated_paragraphs(documents: Iterable[Document], shortest: int) -> Iterator[Document]:
    seen: set[str] = set()
    for document in documents:
        kept = []
        for paragraph in re.split(r"\n\s*\n", document.text):
            key = " ".join(paragraph.split())
            if key and key not in seen:
                seen.add(key)
                kept.append(paragraph.strip("\n"))
        text = "\n\n".join(kept)
        if len(text) >= shortest:
            yield Document(document.name, document.group, text)


# ----------------------------------------------------------------------------------------------------- a user's texts


def _texts(where: Path) -> Iterator[Document]:
    if where.is_dir():
        files = sorted(path for path in where.rglob("*") if path.suffix.lower() in _TEXTS and path.is_file())
        if not files:
            raise DataError(f"no file in this folder ends in {', '.join(_TEXTS)}; name one with texts", file=where)
        for path in files:
            yield Document(path.relative_to(where).as_posix(), path.parent.name, _read(path))
    elif where.suffix.lower() in _TEXTS:
        for number, part in enumerate(re.split(r"\n\s*\n\s*\n", _read(where)), 1):
            yield Document(f"part {number}", where.stem, part)
    else:
        for row in read_rows(where):
            text = next((row.values[key] for key in ("text", "dialogue") if key in row.values), None)
            if not isinstance(text, str):
                raise DataError("the row has no text under 'text'", file=where, row=row.number, line=row.line)
            yield Document(f"row {row.number}", where.stem, text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("the text is not UTF-8; save it as UTF-8", file=path) from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); name a text that is there", file=path) from None


# --------------------------------------------------------------------------------------------------------- docstrings


def _docstrings() -> list[Document]:
    """The docstrings of all modules; read once for each set of versions, and kept in the user's cache."""
    packages = required_packages()
    key = sha256_of_text(json.dumps(packages), sysconfig.get_python_version(), str(sysconfig.get_paths()["stdlib"]))
    cached = cache_folder() / "corpus" / f"docstrings-{key[:16]}.jsonl"
    if cached.exists():
        return read_lines_of(Document, cached)
    files = list(_modules(packages))
    documents = []
    with bar("reading docstrings", len(files), "modules") as shown:
        for group, name, path in files:
            if text := docstrings_of(path):
                documents.append(Document(name, group, text))
            shown.advance()
    write_lines_of(cached, documents)
    return documents


def required_packages() -> dict[str, str]:
    """luthier's required distributions and their versions, without extras."""
    found = {}
    for line in metadata.requires("luthier") or ():
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        if "extra ==" not in line:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return dict(sorted(found.items()))


def _modules(packages: Iterable[str]) -> Iterator[tuple[str, str, Path]]:
    """(package, module, file) of every Python file without tests, in the order of their names."""
    standard = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"test", "tests", "testing", "site-packages", "dist-packages", "__pycache__", "idlelib", "lib2to3"}
    for path in sorted(standard.rglob("*.py")):
        inner = path.relative_to(standard)
        if not skipped & set(inner.parts) and not inner.parts[0].startswith("config-"):
            yield "python", f"python/{inner.as_posix()}", path
    for name in packages:
        listed = metadata.distribution(name).files or ()
        for file in sorted((one for one in listed if one.suffix == ".py"), key=str):
            if not skipped & set(file.parts) and not str(file).startswith(".."):
                yield name.lower(), f"{name.lower()}/{file.as_posix()}", Path(str(file.locate()))


def docstrings_of(path: Path) -> str:
    """All docstrings of a module, in order, each unindented; "" for a file that cannot be parsed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return ""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    whole = "\n\n".join(text for text in texts if text)
    return whole.encode("utf-8", "ignore").decode()  # half a surrogate pair cannot be written
