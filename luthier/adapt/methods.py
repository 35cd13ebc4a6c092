"""The table of methods: every file of this room fills its rows of METHODS.

A row says what the method does to the module, and how its weights are saved and loaded. The study, the training loop
and the generator treat all rows alike.
"""

from __future__ import annotations

from luthier.adapt import (
    baselines,
    bottleneck,
    domain,
    full,
    head,
    ia3,
    lora,
    lora_variants,
    prefix,
    prompting,
    ptuning,
    qlora,
    select,
    soft,
    tokens,
)
from luthier.adapt.method import Method, Tuning
from luthier.errors import SettingsError

_ROWS = (
    *baselines.METHODS, *prompting.METHODS,
    full.METHOD, domain.METHOD, *select.METHODS, head.METHOD, tokens.METHOD,
    lora.METHOD, qlora.METHOD, *lora_variants.METHODS, ia3.METHOD, bottleneck.METHOD,
    soft.METHOD, ptuning.METHOD, prefix.METHOD,
)  # fmt: skip
METHODS: dict[str, Method] = {row.name: row for row in _ROWS}


def method(name: str) -> Method:
    """The row of METHODS called `name`. Raises SettingsError that lists the rows."""
    if name not in METHODS:
        raise SettingsError(f"'{name}' is no method; the methods are: {', '.join(METHODS)}")
    return METHODS[name]


def merging() -> dict[str, Tuning]:
    """The rows whose training can be merged into the base's weights, by name."""
    return {name: row for name, row in METHODS.items() if isinstance(row, Tuning) and row.merge}
