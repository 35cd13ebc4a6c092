"""The short form that names an arm.

    method[-dial][:template][@width][+key=value ...]

    few-shot-2:question                 two shots, the template 'question'
    lora-r8+learning_rate=2e-3          rank 8, another learning rate
    lora@int8                           trained in full, its weights made narrow after that
    qlora@int4                          trained on a base that is narrow already; qlora alone is qlora@nf4
    zero-shot+temperature=0.7+top_k=20  a generation configuration as an arm of its own

    head+model=minilm                   another model than the study's

A key is one of the method's own settings, of its training, or of generation; study.toml writes the same as tables.
"""

from __future__ import annotations

import re
from typing import Any

from luthier.adapt.method import Method
from luthier.adapt.methods import METHODS
from luthier.arms.resolve import homes
from luthier.arms.spec import ArmSpec
from luthier.errors import SettingsError
from luthier.settings import settings_from, value_of


def parse(text: str) -> ArmSpec:
    """The short form as an ArmSpec. Raises SettingsError that says what was not understood."""
    head, *assignments = text.strip().split("+")
    head, _, wide = head.partition("@")
    head, _, template = head.partition(":")
    name = max((name for name in METHODS if head == name or head.startswith(f"{name}-")), key=len, default=None)
    if name is None:
        raise SettingsError(f"arm '{text}': '{head}' is no method; the methods are: {', '.join(METHODS)}")
    found = METHODS[name]
    parts: dict[str, Any] = {"settings": {}, "training": {}, "generation": {}}
    if "width" in found.settings.model_fields and wide:
        parts["settings"]["width"] = wide  # of the base that it is trained on
        wide = ""
    if dial := head[len(name) + 1 :]:
        parts["settings"] |= _dial(text, found, dial)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"arm '{text}': '+{assignment}' has no value; write +key=value")
        if key in ("model", "answer"):
            parts[key] = value
            continue
        parts[_home(text, found, key)][key] = value_of(value)
    return settings_from(
        ArmSpec, {"method": name, "template": template or None, "width": wide or None} | parts, f"arm '{text}'"
    )


def model_of(text: str) -> str | None:
    """The model that a short form names for itself. Raises SettingsError as `parse` does."""
    return parse(text).model


def name_of(text: str) -> str:
    """What the arm of a short form is called: itself, and of a model's path or hub id the last part alone, because an
    arm's name is also its folder's."""
    return re.sub(r"(\+model=)[^+]*/(?=[^+/])", r"\1", text.strip())


def _dial(text: str, found: Method, dial: str) -> dict[str, Any]:
    match = re.fullmatch(rf"{found.dial_prefix}(\d+)", dial)
    if found.dial is None or match is None:
        example = f"{found.name}-{found.dial_prefix}8" if found.dial else found.name
        raise SettingsError(f"arm '{text}': '-{dial}' is not understood; write {example}")
    return {found.dial: int(match[1])}


def _home(text: str, found: Method, key: str) -> str:
    """Which of an arm's tables holds `key`."""
    tables = homes(found)
    if key not in tables:
        raise SettingsError(f"arm '{text}': '{key}' is no setting of {found.name}; there are: {', '.join(tables)}")
    return tables[key]
