"""A number as a learner types it: "1.41 %", "0.0141", "1,41", "3 538 944", "3,538,944", "4.2e9", "1/3".

Which sign is the decimal one depends on where one grew up. "1,410" may be 1410 or 1.41, so there are readings, the
English one first. Numbers in running text are read by scoring/numbers.py.
"""

from __future__ import annotations

import math
import re

_SPACES = "\u00a0\u2009\u202f_'\u2019"
LONGEST = 500  # characters of a text that may be a number
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?P<body>\d[\d ]*(?:[.,][\d]+)*[.,]?|[.,]\d+)"
    r"(?:\s*(?:e|[x\u00d7*]\s*10\s*\^?)\s*(?P<power>[-+]?\d+))?\s*(?P<after>%|[^\d%].*)?",
    re.IGNORECASE,
)


def typed(text: str, unit: str = "") -> tuple[float, ...]:
    """What a typed number may mean, likeliest first; () where it is none, or has another unit than `unit`.

    With the unit "%" the value is in percent: "1.41 %" and "1.41" are 1.41, and so is "0.0141", a share.
    """
    if len(text) > LONGEST:
        return ()
    plain = text.strip().lstrip("=~\u2248$\u20ac ").replace("\u2212", "-")
    for sign in _SPACES:
        plain = plain.replace(sign, " ")
    if fraction := re.fullmatch(r"([-+]?\d+)\s*/\s*(\d+)", plain):
        if not int(fraction[2]):
            return ()
        try:
            quotient = int(fraction[1]) / int(fraction[2])
        except OverflowError:
            return ()
        return _percent((quotient,), False) if unit == "%" else (quotient,)
    found = _NUMBER.fullmatch(plain)
    if not found:
        return ()
    after = (found["after"] or "").strip().rstrip(".")
    if after and after.casefold() != unit.casefold() and not (after == "%" and unit == ""):
        return ()
    power = int(found["power"] or 0)
    if abs(power) > 300:
        return ()
    scale = (-1 if found["sign"] == "-" else 1) * 10.0**power
    if after == "%" and unit == "":
        scale /= 100
    values = tuple(value for one in _bodies(found["body"].strip()) if math.isfinite(value := float(one) * scale))
    return _percent(values, after == "%") if unit == "%" else values


def _percent(values: tuple[float, ...], signed: bool) -> tuple[float, ...]:
    return values if signed else (*values, *(100 * value for value in values))


def _bodies(body: str) -> list[str]:
    """Digits with separators -> the same as Python writes it, each way that it may be read."""
    if " " in body:
        parts = re.split(r"[.,]", body)
        if len(parts) > 2 or not re.fullmatch(r"\d{1,3}( \d{3})+", parts[0]):
            return []
        return [".".join(parts).replace(" ", "")]
    signs = re.findall(r"[.,]", body)
    if not signs:
        return [body]
    last = signs[-1]
    other = "," if last == "." else "."
    if len(set(signs)) == 2:  # the last one is the decimal sign
        whole, _, rest = body.rpartition(last)
        return [f"{whole.replace(other, '')}.{rest}"] if signs.count(last) == 1 and _grouped(whole, other) else []
    if len(signs) > 1:
        return [body.replace(last, "")] if _grouped(body, last) else []
    decimal = body.replace(last, ".")
    if not re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", body):
        return [decimal]
    grouped = body.replace(last, "")
    return [grouped, decimal] if last == "," else [decimal, grouped]


def _grouped(whole: str, sign: str) -> bool:
    return re.fullmatch(rf"\d{{1,3}}({re.escape(sign)}\d{{3}})+", whole) is not None
