"""Rows that need a package of their own: parquet files, and data sets of the Hugging Face hub.

Both packages are optional: pip install 'luthier[datasets]'. Without them, reading such data raises an error that says
what to install.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from luthier.errors import DataError
from luthier.files import write_lines

HUB = "hub:"
INSTALL = "pip install 'luthier[datasets]'"


@dataclass(frozen=True)
class NoText:
    """A cell of a column whose type has no text; `kind` says which. It is refused only where the column is used."""

    kind: str


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a parquet file, a batch in memory at a time.

    Bytes are read as UTF-8. Raises DataError for a file that cannot be read, or that has two columns of one name.
    """
    arrow, parquet = _package("pyarrow", path), _package("pyarrow.parquet", path)
    rows = 0
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise DataError("the file has this column more than once; rename one", file=path, field=twice)
            for batch in file.iter_batches():
                rows += batch.num_rows
                yield from map(_row, batch.to_pylist())
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"this is no parquet file that can be read ({_reason(error)})", file=path) from None
    if not rows:
        raise DataError("the file has no rows; add at least one", file=path)


def hub_files(name: str, folder: Path) -> dict[str, Path]:
    """The data set `name` as one jsonl file a split in `folder`, by the split's name.

    `name` is an id of the hub such as owner/name, or a folder that `datasets` can load; :configuration may follow.
    Raises DataError for a data set that cannot be loaded.
    """
    datasets = _package("datasets", HUB + name)
    source, _, configuration = name.partition(":")
    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # the refusal says it once
    try:
        loaded = datasets.load_dataset(source, configuration or None, cache_dir=str(folder / "cache"))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        problem = f"the data set cannot be loaded ({_reason(error)}); check its name and configuration, and the network"
        raise DataError(problem, file=HUB + name) from None
    files = {split: folder / f"{split}.jsonl" for split in loaded}
    for split, path in files.items():
        write_lines(path, _plain(loaded[split]))
    return files


def _package(name: str, file: str | Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise DataError(f"reading this needs the package {package}; run: {INSTALL}", file=file) from None


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Any:
    """A cell as a JSON value: a date becomes a text, NaN null, and bytes the text that they are in UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return NoText("binary and not UTF-8")
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, str | int | float | None):
        return None if isinstance(value, float) and value - value != 0 else value
    return json.loads(json.dumps(value, default=_inner), parse_constant=lambda _: None)


def _inner(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _plain(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows as JSON objects; what has no text is null, and a decimal a text."""
    for row in map(_row, rows):
        yield {
            name: None if isinstance(value, NoText) else str(value) if isinstance(value, Decimal) else value
            for name, value in row.items()
        }


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
