"""profile.json: what answers look like beyond their metrics, and whether verdicts hold at equal length.

    ProfileRecord  the whole file
    Budgets        the arms compared again with their answers cut to the same length: BudgetRow, Flip
    Bucket         the deciding metric on short, middle and long inputs or references
    ArmProfile     one arm: Words, LengthRatio, Copied, Share, Facts

Every mean and share carries n and an interval of the profile's `level`; None is what is not known.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from luthier.records import Verdict
from luthier.results.comparison import Mean
from luthier.results.record import FirstFormat, Number, Part, Record

Budget = int | Literal["two sentences"] | None  # words; None: as answered


class ReferenceWords(Part):
    """How long references are, which gives the budgets."""

    n: int  # references
    quartiles: tuple[int, ...]  # words at 25, 50 and 75 %; none where there are no references


class BudgetDecision(Part):
    """The decision under one budget: three fields of comparison.Decision."""

    verdict: Literal["ship", "cannot tell"]
    arm: str | None
    provisional: str


class PairVerdict(Part):
    """The verdict of a against b under one budget."""

    a: str
    b: str
    verdict: Verdict | None


class Flip(Part):
    """A verdict of a against b that a budget changes."""

    a: str
    b: str
    before: Verdict | None
    after: Verdict | None


class BudgetRow(Part):
    """One comparison on the deciding metric, with all answers cut to the same budget."""

    budget: Budget
    arms: dict[str, Mean]
    ship: BudgetDecision
    verdicts: tuple[PairVerdict, ...]
    flips: tuple[Flip, ...]  # against the row of the answers as they were given
    ship_flips: bool  # whether another arm would be shipped


class Budgets(Part):
    """The arms as answered and under each budget."""

    reference_words: ReferenceWords = Field(alias="reference words")
    of: Literal["dev", "test"]  # the split whose references gave the budgets
    rows: tuple[BudgetRow, ...]


class Bucket(Part):
    """The deciding metric on a third of the examples, by length."""

    words: tuple[Number, Number]  # of the shortest and the longest in it
    n: int  # examples
    arms: dict[str, Mean]


Buckets = dict[Literal["input", "reference"], tuple[Bucket, ...]]  # by whose length


class Words(Mean):
    """Words of an answer, by whitespace."""

    median: Number
    quantiles: dict[str, Number]  # percent -> words


class LengthRatio(Mean):
    """Words of an answer over words of its reference."""

    quantiles: dict[str, Number]  # percent -> ratio; empty where none is known


class Copied(Part):
    """How much of an answer stands in its input."""

    coverage: Mean  # share of its words inside extractive fragments
    density: Mean  # mean squared length of the fragments over its words
    trigrams: Mean  # share of its word trigrams


class Share(Part):
    """The share of answers that are so."""

    share: Number
    low: Number | None
    high: Number | None
    yes: int  # answers
    n: int
    ids: tuple[str, ...]  # of the first few that are so


class Finding(Part):
    """Something in an answer that its input does not support; text[start:end] of the answer."""

    kind: str
    text: str
    start: int
    end: int
    why: str


class FactExample(Part):
    """An answer with what its input does not support."""

    id: str
    text: str
    findings: tuple[Finding, ...]


class Facts(Part):
    """How many answers say what their input does not support."""

    any: Share
    kinds: dict[str, Share]
    examples: tuple[FactExample, ...]  # the first few


class ArmProfile(Part):
    """What the answers of one arm look like."""

    n: int  # answers
    words: Words
    length_ratio: LengthRatio
    copied: Copied
    repeated: Mean  # share of an answer's trigrams that it said before
    empty: Share
    only_tags: Share  # nothing but speaker tags and punctuation
    hit_limit: Share | None  # stopped by the limit on new tokens; None where nobody knows
    facts: Facts


class ProfileRecord(Record):
    """The answers of all arms, described."""

    FILE: ClassVar[str] = "profile.json"
    REMEDY: ClassVar[str] = "remove the file and start the study again, and it is made from the answers"

    format: FirstFormat
    level: Number  # confidence of every interval
    deciding: str
    margin: Number
    signatures: dict[str, str]  # name -> how a number here is defined
    budgets: Budgets
    buckets: Buckets
    arms: dict[str, ArmProfile]
    not_checked: tuple[str, ...]  # what facts cannot see
