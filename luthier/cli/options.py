"""Options that verbs of several files share."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
RowId = Annotated[str | None, typer.Option("--id", help="A column of unique names; else rows are numbered.")]
