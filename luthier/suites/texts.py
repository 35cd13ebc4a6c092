"""The texts of the panel and of replay: prose that was written for luthier, and code, tables, sums and records by seed.

documents()  200, eight kinds of 25, for the instrument `text`; no model was ever trained on them here
requests()   100 plain requests, for the instrument `drift`
general()    rows (request, answer) that an arm's training may repeat (`replay`); none of them is in the panel
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from luthier.suites.items import Document, Plain

A_KIND, SEED = 25, 0
WRITTEN = ("explanation", "story", "dialogue", "howto")

_NAMES = ("Ada", "Ben", "Cleo", "Dario", "Emil", "Fatima", "Greta", "Hugo", "Ida", "Jonas", "Kira", "Luis")
_TOWNS = ("Aldermoor", "Brunnfeld", "Castell", "Dunwick", "Elmstad", "Fiorano", "Grayport", "Holm")
_GOODS = ("apples", "bolts", "candles", "doors", "envelopes", "flasks", "gloves", "hinges", "jars", "kettles")


def _shipped(name: str) -> str:
    return (files("luthier.suites") / "shipped" / name).read_text(encoding="utf-8")


def _code(draw: random.Random) -> str:
    thing, other = draw.sample(("order", "ticket", "sensor", "page", "player", "route", "account", "sample"), 2)
    field, unit = draw.choice((("price", "cents"), ("weight", "grams"), ("delay", "seconds"), ("score", "points")))
    least, step = draw.randint(1, 9) * 10, draw.randint(2, 7)
    kind = draw.randrange(3)
    if kind == 0:
        return (
            f"def total_{field}({thing}s, least={least}):\n"
            f'    """The {field} of all {thing}s in {unit}, those below `least` left out."""\n'
            f"    total = 0\n    for {thing} in {thing}s:\n        if {thing}.{field} >= least:\n"
            f"            total += {thing}.{field}\n    return total\n\n\n"
            f"def mean_{field}({thing}s):\n    if not {thing}s:\n        return None\n"
            f"    return total_{field}({thing}s, least=0) / len({thing}s)\n"
        )
    if kind == 1:
        return (
            f"class {thing.title()}Queue:\n    def __init__(self, limit={least}):\n        self.limit = limit\n"
            f"        self.items = []\n\n    def push(self, {thing}):\n        if len(self.items) >= self.limit:\n"
            f'            raise OverflowError("the queue holds {least} {thing}s already")\n'
            f"        self.items.append({thing})\n\n    def pop(self):\n"
            f"        return self.items.pop(0) if self.items else None\n"
        )
    return (
        f"function next{thing.title()}({thing}s, {other}) {{\n  const open = {thing}s.filter(\n"
        f"    (one) => one.{field} > {least} && one.{other} === {other}.id,\n  );\n"
        f"  open.sort((a, b) => a.{field} - b.{field});\n  for (let i = 0; i < open.length; i += {step}) {{\n"
        f"    console.log(`${{open[i].id}}: ${{open[i].{field}}} {unit}`);\n  }}\n  return open[0] ?? null;\n}}\n"
    )


def _table(draw: random.Random) -> str:
    goods = draw.sample(_GOODS, 5)
    rows = [(good, draw.randint(3, 90), draw.randint(20, 990) / 100) for good in goods]
    lines = [f"| {good} | {count} | {price:.2f} | {count * price:.2f} |" for good, count, price in rows]
    total = sum(count * price for _, count, price in rows)
    return (
        f"Stock of the shop in {draw.choice(_TOWNS)}, week {draw.randint(1, 52)}\n\n"
        "| goods | pieces | price | value |\n|---|---|---|---|\n" + "\n".join(lines) + f"\n\nTotal value: {total:.2f}\n"
    )


def _sums(draw: random.Random) -> str:
    name, good = draw.choice(_NAMES), draw.choice(_GOODS)
    boxes, each, broken, price = draw.randint(3, 12), draw.randint(4, 25), draw.randint(1, 9), draw.randint(2, 9)
    whole, kept = boxes * each, boxes * each - broken
    return (
        f"{name} buys {boxes} boxes with {each} {good} in each box. {broken} of the {good} are broken. "
        f"{name} sells the others for {price} each. How much money does {name} get?\n"
        f"There are {boxes} * {each} = {whole} {good}. Without the broken ones {whole} - {broken} = {kept} are left. "
        f"They bring {kept} * {price} = {kept * price}.\nAnswer: {kept * price}\n"
        f"If every tenth of them stays unsold, {kept // 10} are left over and {kept} - {kept // 10} = "
        f"{kept - kept // 10} are sold, which brings {(kept - kept // 10) * price}.\n"
    )


def _record(draw: random.Random) -> str:
    people = [
        {"name": name, "age": draw.randint(19, 80), "town": draw.choice(_TOWNS), "active": draw.random() < 0.5}
        for name in draw.sample(_NAMES, 3)
    ]
    whole = {
        "id": draw.randint(1000, 9999),
        "created": f"20{draw.randint(10, 25)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
        "members": people,
        "limits": {"most": draw.randint(5, 50), "warn_at": draw.randint(1, 4) / 5},
        "tags": draw.sample(_GOODS, 3),
    }
    return json.dumps(whole, indent=2) + "\n"


GENERATED: dict[str, Callable[[random.Random], str]] = {
    "code": _code, "table": _table, "sums": _sums, "record": _record,
}  # fmt: skip


@cache
def documents() -> tuple[Document, ...]:
    """The documents, the same in every process; none is there twice."""
    made = []
    for kind in WRITTEN:
        texts = [text.strip() for text in _shipped(f"{kind}.txt").split("\n---\n")]
        made += [Document(f"{kind}-{number}", kind, text) for number, text in enumerate(texts, 1)]
    for kind, make in GENERATED.items():
        draw, own = random.Random(f"documents-{kind}-{SEED}"), dict[str, None]()
        while len(own) < A_KIND:
            own.setdefault(make(draw).strip())
        made += [Document(f"{kind}-{number}", kind, text) for number, text in enumerate(own, 1)]
    return tuple(made)


@cache
def requests() -> tuple[Plain, ...]:
    """Plain requests in five groups of twenty."""
    lines = [line.partition(": ") for line in _shipped("requests.txt").splitlines()]
    return tuple(Plain(f"request-{number}", group, text) for number, (group, _, text) in enumerate(lines, 1))


@cache
def general() -> tuple[tuple[str, str], ...]:
    """(request, answer) rows of everyday language; an answer may have several lines."""
    rows = (line.partition(" | ") for line in _shipped("replay.txt").splitlines())
    return tuple((asked, answer.replace("\\n", "\n")) for asked, _, answer in rows)
