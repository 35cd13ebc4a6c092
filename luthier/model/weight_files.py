"""What the files of a model's folder hold: JSON tables, and names, types and shapes of tensors by their headers alone.

A header is JSON behind eight bytes that say how long it is (https://huggingface.co/docs/safetensors). Reading it
allocates nothing, so sizes can be held against it before a model is built.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.errors import ModelError

INDEX = "model.safetensors.index.json"
POOLING = "1_Pooling/config.json"  # of sentence encoders (Reimers and Gurevych 2019, "Sentence-BERT", section 3)
MOST_HEADER = 100 << 20  # bytes; safetensors itself reads no longer one
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
WHOLE = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
GET = "fetch the model again"
PART = 1 << 20  # bytes of two tensors that are held against each other at a time


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file, whose bytes begin at `start`."""

    type: str
    shape: tuple[int, ...]
    file: Path = field(compare=False)
    start: int = field(compare=False)
    bytes: int = field(compare=False)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def tensors_in(folder: Path) -> dict[str, Tensor]:
    """Name -> tensor, of what transformers would load from `folder`.

    Raises ModelError, with the file, for weights that are missing, of another format, cut off or damaged.
    """
    found: dict[str, Tensor] = {}
    for path in _files(folder):
        found |= tensors_of(path)
    if not found:
        raise ModelError(f"{folder}: the weights hold no tensor; {GET}")
    return found


def _files(folder: Path) -> list[Path]:
    """model.safetensors, else the files that the index names, each of them in the folder itself."""
    whole, index = folder / "model.safetensors", folder / INDEX
    if whole.exists():
        return [whole]
    if index.exists():
        table = json_table(index)
        names = table.get("weight_map")
        if not isinstance(names, dict) or not names:
            raise ModelError(f"{index}: has no table 'weight_map' of tensors and files; {GET}")
        for name in dict.fromkeys(names.values()):
            if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
                raise ModelError(f"{index}: names the file {str(name)[:60]!r}, which is none of this folder; {GET}")
            if not (folder / name).is_file():
                raise ModelError(f"{folder / name}: is missing, and {INDEX} names it; {GET}")
        return sorted({folder / name for name in names.values()})
    here = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".gguf", ".h5"))
    other = f" but {here[0]}, which is not read" if here else ""
    raise ModelError(
        f"{folder}: holds no model.safetensors{other}; get the model's safetensors weights, or convert them"
    )


def are_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers of one type. They are read part by part until they differ."""
    if one != other:
        return False
    with open(one.file, "rb") as left, open(other.file, "rb") as right:
        left.seek(one.start)
        right.seek(other.start)
        sizes = (min(PART, one.bytes - begin) for begin in range(0, one.bytes, PART))
        return all(left.read(size) == right.read(size) for size in sizes)


def tensors_of(path: Path) -> dict[str, Tensor]:
    """Name -> tensor of one file. Raises ModelError for a file that is missing, cut off or damaged."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file; {GET}")
    size = path.stat().st_size
    with open(path, "rb") as file:
        first = file.read(8)
        if first == b"version ":
            raise ModelError(
                f"{path}: is a pointer of git LFS and not the weights themselves; run `git lfs pull` in its repository"
            )
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 2 <= length <= min(MOST_HEADER, size - 8):
            raise ModelError(f"{path}: is cut off or no safetensors file; {GET}")
        raw = file.read(length)
    try:
        table = json.loads(raw)
        tensors = {name: _tensor(one, path, 8 + length, size) for name, one in table.items() if name != "__metadata__"}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        said = str(error) if isinstance(error, _Cut) else "its header is damaged"
        raise ModelError(f"{path}: {said}; {GET}") from None
    return tensors


class _Cut(ValueError):
    """A tensor that lies outside of its file."""


def _tensor(one: dict[str, Any], path: Path, header: int, size: int) -> Tensor:
    """A tensor of a file of `size` bytes, `header` of which stand before the first tensor."""
    start, end = one["data_offsets"]
    data_bytes = size - header
    shape = tuple(int(length) for length in one["shape"])
    tensor = Tensor(str(one["dtype"]), shape, path, header + start, end - start)
    if min(tensor.shape, default=0) < 0 or not 0 <= start <= end:
        raise ValueError
    if end > data_bytes:
        raise _Cut(f"is cut off: it names {end:,} bytes of weights and holds {data_bytes:,}")
    width = (FLOATS | WHOLE).get(tensor.type)
    if width is not None and tensor.elements * width != end - start:
        raise ValueError
    return tensor


def json_table(path: Path, most: int = 64 << 20) -> dict[str, Any]:
    """The table of keys in a JSON file of a model. Raises ModelError for a file that holds none."""
    try:
        if path.stat().st_size > most:
            raise ModelError(f"{path}: has more than {most >> 20} MiB, which no such file needs; {GET}")
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, nested too deeply, or a number too long
        raise ModelError(f"{path}: cannot be read as JSON ({str(error)[:120]}); {GET}") from None
    if not isinstance(table, dict):
        raise ModelError(f"{path}: holds no table of keys; {GET}")
    return table


def pools_by_mean(folder: Path) -> bool:
    """Whether an encoder's folder declares mean pooling over tokens. Raises ModelError for a file without a table."""
    file = folder / POOLING
    return file.exists() and bool(json_table(file).get("pooling_mode_mean_tokens"))
