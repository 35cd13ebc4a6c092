"""Numbers for readers: the filters of the templates. An unknown number is a dash, never a zero.

{{ row.mean|score }} {{ row|interval }}     0.512 [0.480, 0.544]
{{ row|estimate }}                          the same, in one
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from markupsafe import Markup

from luthier.results.record import Number, Part

UNKNOWN = "–"


class Estimate(Protocol):
    """A mean with its interval."""

    @property
    def mean(self) -> Number | None: ...
    @property
    def low(self) -> Number | None: ...
    @property
    def high(self) -> Number | None: ...


def score(value: float | None, digits: int = 3) -> str:
    """0.512, with a real minus."""
    return UNKNOWN if value is None else f"{value:z.{digits}f}".replace("-", "−")


def signed(value: float | None) -> str:
    """A difference: +0.012 or −0.012."""
    return UNKNOWN if value is None else f"{value:+z.3f}".replace("-", "−")


def interval(row: Any, prefix: str = "", signs: bool = False, digits: int = 3) -> Markup:
    """[low, high] of a record, or of no record; nothing where an end is unknown.

    `prefix` is that of the ends' names, such as 'simultaneous_'. Nothing in the text needs escaping, brackets in
    Markdown included.
    """
    low, high = _ends(row, prefix)
    if low is None or high is None:
        return Markup("")
    ends = [signed(end) if signs else score(end, digits) for end in (low, high)]
    return Markup(f"[{ends[0]}, {ends[1]}]")


def percents(row: Any, prefix: str = "") -> Markup:
    """[low, high] of a share in percent; nothing where an end is unknown."""
    low, high = _ends(row, prefix)
    return Markup("" if low is None or high is None else f"[{100 * low:.0f}, {100 * high:.0f}]")


def _ends(row: Any, prefix: str) -> tuple[Number | None, Number | None]:
    return (None, None) if row is None else (getattr(row, f"{prefix}low"), getattr(row, f"{prefix}high"))


def estimate(row: Estimate | None, digits: int = 3) -> Markup:
    """The mean of a record, or of no record, and its interval."""
    return Markup(f"{score(row.mean if row else None, digits)} {interval(row, digits=digits)}")


def short_number(value: float | None) -> str:
    """About three digits: 0, 0.4, 12.3, 204, 1,204."""
    if value is None:
        return UNKNOWN
    return f"{value:.1f}" if 0 < abs(value) < 100 else f"{value:,.0f}"


def count(value: float | None) -> str:
    """1,204."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def megabytes(value: float | None) -> str:
    """Bytes as a short number of MB."""
    return UNKNOWN if value is None else short_number(value / 1e6)


def gigabytes(value: float | None) -> str:
    """Bytes as 3.2 GB. A process always holds some bytes, so 0 means unknown."""
    return f"{value / 1e9:.1f} GB" if value else UNKNOWN


def minutes(seconds: float | None) -> str:
    """Seconds as a short number of minutes."""
    return UNKNOWN if seconds is None else short_number(seconds / 60)


def percent(share: float | None) -> str:
    """95 %."""
    return UNKNOWN if share is None else f"{100 * share:.3g} %"


def words(value: Any) -> str:
    """A table of settings or facts as 'name value, name value'; None is left out."""
    if isinstance(value, Part):
        value = value.as_json()
    if not isinstance(value, Mapping):
        return UNKNOWN if value is None else str(value)
    return ", ".join(f"{key} {entry}" for key, entry in value.items() if entry is not None) or UNKNOWN


FILTERS: dict[str, Callable[..., Any]] = {
    "score": score,
    "signed": signed,
    "interval": interval,
    "percents": percents,
    "estimate": estimate,
    "number": short_number,
    "count": count,
    "megabytes": megabytes,
    "gigabytes": gigabytes,
    "minutes": minutes,
    "percent": percent,
    "words": words,
}
