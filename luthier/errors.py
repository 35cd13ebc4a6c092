"""The exceptions. Each message is one sentence that names the file, the row, the field, and what to do.

    LuthierError              anything a user can mend; the command line prints it and exits with `exit_code`
    ├── DataError             a file of rows: missing, empty, unreadable, a bad row or column
    ├── TaskError             a task folder: its task.toml, splits or templates
    ├── SettingsError         study.toml, an arm's short form, an option out of its range
    ├── ModelError            a model that cannot be found, loaded or used for this
    ├── PromptError           an example that cannot be rendered for a model
    └── FolderError           a folder that is not ours, belongs to another study, is in use, or cannot be written

A traceback means a bug in luthier. Everything that a user can cause raises one of these.
"""

from __future__ import annotations

from pathlib import Path


class LuthierError(Exception):
    """Base of everything a user can mend. `exit_code` is what the command line returns (2: bad input)."""

    exit_code = 2


class DataError(LuthierError):
    """A file of rows is missing, empty, unreadable, or has a bad row or column."""

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        row: int | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        where = ", ".join(
            part
            for part in (
                str(file) if file is not None else "",
                f"row {row}" if row is not None else "",
                f"line {line}" if line is not None else "",
                f"field '{field}'" if field is not None else "",
            )
            if part
        )
        super().__init__(f"{where}: {problem}" if where else problem)
        self.file, self.row, self.line, self.field = file, row, line, field


class TaskError(LuthierError):
    """A task folder is incomplete or says something impossible."""


class SettingsError(LuthierError):
    """A setting, an arm's short form, or study.toml is not understood."""


class ModelError(LuthierError):
    """A model cannot be found, loaded, or used for what was asked."""


class PromptError(LuthierError):
    """An example cannot be rendered as a prompt for this model."""


class FolderError(LuthierError):
    """A folder is not ours, belongs to another study, is in use, or cannot be written."""
