"""The short form that names an arm.

    method[-dial][:template][@width][+key=value ...]

    few-shot-2:question                 two shots, the template 'question'
    lora-r8+learning_rate=2e-3          rank 8, another learning rate
    lora@int8                           trained on whole weights, which are made narrow afterwards
    qlora@int4                          trained on a narrow base; qlora alone is qlora@nf4
    zero-shot+temperature=0.7+top_k=20  other generation settings
    lora+scale=0.5                      half of what was trained, taken from the arm lora
    head+model=minilm                   another model than the study's
    domain+corpus=notes                 further pretraining on the texts in notes, then asked
    lora+domain=notes+domain.epochs=1   the same first, and LoRA on top of it

A key is a setting of the method, of its training, or of generation. study.toml writes the same as tables.
Nothing here imports torch.
"""

from __future__ import annotations

import re
from typing import Any

from luthier.adapt.settings import FORMS, Texts
from luthier.arms.spec import ArmSpec
from luthier.decoding.settings import Generation
from luthier.errors import SettingsError
from luthier.results.names import DOMAIN
from luthier.settings import Settings, settings_from, value_of
from luthier.training.settings import Training


def parse(text: str) -> ArmSpec:
    """The short form as an ArmSpec. Raises SettingsError for a part that it does not understand."""
    head, *assignments = text.strip().split("+")
    head, _, width = head.partition("@")
    head, _, template = head.partition(":")
    name = max((name for name in FORMS if head == name or head.startswith(f"{name}-")), key=len, default=None)
    if name is None:
        raise SettingsError(f"arm '{text}': '{head}' is no method; the methods are: {', '.join(FORMS)}")
    form = FORMS[name]
    parts: dict[str, Any] = {"settings": {}, "training": {}, "generation": {}}
    if "width" in form.settings.model_fields and width:
        parts["settings"]["width"] = width  # the width of the base, on which the method trains
        width = ""
    if dial := head[len(name) + 1 :]:
        parts["settings"] |= _dial(text, name, dial)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"arm '{text}': '+{assignment}' has no value; write +key=value")
        if key == DOMAIN or key.startswith(f"{DOMAIN}."):
            parts[DOMAIN] = parts.get(DOMAIN, {}) | _of_domain(text, key, value)
            continue
        if key in ("model", "answer", "scale"):
            parts[key] = _number(text, value) if key == "scale" else value
            continue
        parts[_table_of(text, name, key)][key] = value_of(value)
    return settings_from(
        ArmSpec, {"method": name, "template": template or None, "width": width or None} | parts, f"arm '{text}'"
    )


def model_of(text: str) -> str | None:
    """The model that a short form names for itself. Raises SettingsError as `parse` does."""
    return parse(text).model


def name_of(text: str) -> str:
    """The arm's name: the short form, with only the last part of a model's path or hub id, and of a path of texts.

    An arm's name is also its folder's name, so it contains no slash.
    """
    return re.sub(r"(\+(?:model|domain|corpus)=)[^+]*/(?=[^+/])", r"\1", text.strip())


def setting_tables(name: str) -> dict[str, str]:
    """setting -> the table of an arm that holds it, for every setting of the method called `name`."""
    form = FORMS[name]
    tables: dict[str, type[Settings]] = {
        "generation": Generation if form.asks_model else Settings,
        "training": Training if form.trains else Settings,
        "settings": form.settings,
    }
    tables_by_key = {key: table for table, model in tables.items() for key in model.model_fields}
    return dict(sorted(tables_by_key.items()))


def _of_domain(text: str, key: str, value: str) -> dict[str, Any]:
    """`domain=TEXTS` or `domain.KEY=VALUE`. Raises SettingsError for a key that further pretraining has not."""
    if key == DOMAIN:
        return {"corpus": value}
    known = domain_tables()
    if (name := key.partition(".")[2]) not in known:
        raise SettingsError(f"arm '{text}': '{key}' is no setting of domain; there are: {', '.join(known)}")
    return {name: value_of(value)}


def domain_tables() -> dict[str, str]:
    """setting -> its table, for every setting of further pretraining that comes before another training."""
    texts = {key: table for key, table in setting_tables(DOMAIN).items() if table != "generation"}
    return {key: table for key, table in texts.items() if table == "training" or key in Texts.model_fields}


def _number(text: str, value: str) -> float:
    if isinstance(number := value_of(value), int | float) and not isinstance(number, bool):
        return float(number)
    raise SettingsError(f"arm '{text}': scale is '{value}'; give a number from 0 to 2, such as scale=0.5")


def _dial(text: str, name: str, dial: str) -> dict[str, Any]:
    form = FORMS[name]
    match = re.fullmatch(rf"{form.dial_prefix}(\d+)", dial)
    if form.dial is None or match is None:
        example = f"{name}-{form.dial_prefix}8" if form.dial else name
        raise SettingsError(f"arm '{text}': '-{dial}' is not understood; write {example}")
    return {form.dial: int(match[1])}


def _table_of(text: str, name: str, key: str) -> str:
    """The table of an arm that holds `key`. Raises SettingsError if the method has no such setting."""
    tables = setting_tables(name)
    if key not in tables:
        raise SettingsError(f"arm '{text}': '{key}' is no setting of {name}; there are: {', '.join(tables)}")
    return tables[key]
