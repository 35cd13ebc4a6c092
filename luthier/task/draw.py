"""Which rows `init` holds out for dev and test: drawn by seed over units, and of a classification over its labels.

The draw depends on seed and units only, not on the order of rows or on a random generator. Of a classification it
stands if it leaves each label in train. Else each label gives its share, and the last rows of a label stay in train:
what train lacks, nothing can learn.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from luthier.errors import SettingsError, TaskError
from luthier.files import sha256_of_text
from luthier.records import Example
from luthier.scoring.labels import folded
from luthier.task.spec import Split
from luthier.task.splits import Parts

MOST_ROWS: dict[Split, int] = {"dev": 500, "test": 1000}  # more rows cost time and gain little precision

Labels = frozenset[str]


def drawn(
    parts: Parts, shares: Mapping[Split, float], seed: int, path: Path, labelled: bool = False
) -> dict[Split, list[str]]:
    """Ids of train rows to hold out for each split in `shares`, drawn over units; no unit of a given split.

    Raises SettingsError for shares that leave no room, TaskError, with the user's file, where there is too little to
    draw from.
    """
    if any(not 0 < share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise SettingsError(
            f"init: shares of {dict(shares)} leave no room; give shares above 0 that sum to less than 1"
        )
    elsewhere = {example.unit for split in ("dev", "test") for example in parts[split]}
    sizes = Counter(example.unit for example in parts["train"] if example.unit not in elsewhere)
    if shares and len(sizes) <= len(shares):
        problem = f"{len(sizes)} distinct inputs are too few to draw {' and '.join(shares)} from"
        raise TaskError(f"{path}: {problem}; add rows or give a file for each split")
    left = sorted(sizes, key=lambda unit: sha256_of_text(str(seed), unit))
    labels = _labels(parts["train"]) if labelled else {}
    held: dict[Split, list[str]] = {}
    for done, (split, share) in enumerate(shares.items(), 1):
        # At least one unit here, and one left for each split that is still to come and for train.
        room = len(left) - 1 - (len(shares) - done)
        wanted = min(max(1, round(share * len(sizes))), room, MOST_ROWS[split])
        order = _by_label(left, labels, wanted) if labelled and not _is_sound(left, labels, wanted) else left
        units = _take(order, sizes, wanted, MOST_ROWS[split])
        if not units:
            raise TaskError(f"{path}: {_nothing(split, bool(order), seed)}")
        left = [unit for unit in left if unit not in units]
        held[split] = [example.id for example in parts["train"] if example.unit in units]
        for unit in units:
            labels.pop(unit, None)
    return held


def _nothing(split: Split, too_large: bool, seed: int) -> str:
    if too_large:
        return f"every group of rows has more than {MOST_ROWS[split]} rows; group finer or give a file a split"
    problem = f"{split} cannot be drawn (seed {seed}): each row left is the last of its label, and train would lack it"
    return f"{problem}; add rows of each label, or give a file for {split}"


def _take(units: Sequence[str], sizes: Counter[str], wanted: int, most_rows: int) -> set[str]:
    """The first `wanted` units that fit into `most_rows` rows together."""
    taken: set[str] = set()
    rows = 0
    for unit in units:
        if len(taken) < wanted and rows + sizes[unit] <= most_rows:
            taken.add(unit)
            rows += sizes[unit]
    return taken


def _labels(train: Sequence[Example]) -> dict[str, Labels]:
    """unit -> the labels of its rows."""
    labels: dict[str, set[str]] = defaultdict(set)
    for example in train:
        labels[example.unit].update(folded(reference) for reference in example.references)
    return {unit: frozenset(found) for unit, found in labels.items()}


def _is_sound(order: Sequence[str], labels: Mapping[str, Labels], wanted: int) -> bool:
    """Whether the first `wanted` units leave a row of each label in train."""
    every = _counts(labels, labels)
    return all(every[label] > count for label, count in _counts(order[:wanted], labels).items())


def _counts(units: Iterable[str], labels: Mapping[str, Labels]) -> Counter[str]:
    return Counter(label for unit in units for label in labels[unit])


def _by_label(order: Sequence[str], labels: Mapping[str, Labels], wanted: int) -> list[str]:
    """The units of `order` that may be taken, those first that give each label its share of `wanted`.

    Shares are rounded by the largest remainder. A unit whose label no other unit of train has may not be taken.
    """
    strata: dict[Labels, list[str]] = defaultdict(list)
    for unit in order:
        strata[labels[unit]].append(unit)
    shares = {stratum: wanted * len(units) / len(order) for stratum, units in strata.items()}
    quotas = {stratum: math.floor(share) for stratum, share in shares.items()}
    largest = sorted(strata, key=lambda stratum: quotas[stratum] - shares[stratum])
    for stratum in largest[: wanted - sum(quotas.values())]:
        quotas[stratum] += 1
    by_quota = {unit for stratum, units in strata.items() for unit in units[: quotas[stratum]]}
    left = _counts(labels, labels)
    may: list[str] = []
    for unit in [*(u for u in order if u in by_quota), *(u for u in order if u not in by_quota)]:
        if all(left[label] > 1 for label in labels[unit]):
            left.subtract(labels[unit])
            may.append(unit)
    return may
