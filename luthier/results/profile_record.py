"""profile.json: a description of the answers beyond their metrics, and the verdicts at equal length.

    ProfileRecord  the whole file
    EqualLengths   the arms compared again with their answers cut to the same length: EqualLengthRow, Flip
    Bucket         the deciding metric on short, middle and long inputs or references
    ArmProfile     one arm: Words, LengthRatio, Copied, Share, Facts

Every mean and share has n and an interval of the profile's `level`; None means unknown.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from luthier.records import Verdict
from luthier.results.comparison import Mean
from luthier.results.record import FirstFormat, Number, Part, Record

WordLimit = int | Literal["two sentences"] | None  # words; None: as answered


class ReferenceWords(Part):
    """How long references are, which gives the word limits."""

    n: int  # references
    quartiles: tuple[int, ...]  # words at 25, 50 and 75 %; none where there are no references


class EqualLengthDecision(Part):
    """The decision under one word limit: three fields of comparison.Decision."""

    verdict: Literal["ship", "cannot tell"]
    arm: str | None
    provisional: str


class PairVerdict(Part):
    """The verdict of a against b under one word limit."""

    a: str
    b: str
    verdict: Verdict | None


class Flip(Part):
    """A verdict of a against b that a word limit changes."""

    a: str
    b: str
    before: Verdict | None
    after: Verdict | None


class EqualLengthRow(Part):
    """One comparison on the deciding metric, with all answers cut to the same word limit."""

    budget: WordLimit
    arms: dict[str, Mean]
    ship: EqualLengthDecision
    verdicts: tuple[PairVerdict, ...]
    flips: tuple[Flip, ...]  # against the row of the answers as they were given
    ship_flips: bool  # whether another arm would be shipped


class EqualLengths(Part):
    """The arms as answered and under each word limit."""

    reference_words: ReferenceWords = Field(alias="reference words")
    of: Literal["dev", "test"]  # the split whose references gave the limits
    rows: tuple[EqualLengthRow, ...]


class Bucket(Part):
    """The deciding metric on a third of the examples, by length."""

    words: tuple[Number, Number]  # of the shortest and the longest in it
    n: int  # examples
    arms: dict[str, Mean]


Buckets = dict[Literal["input", "reference"], tuple[Bucket, ...]]  # by whose length


class Words(Mean):
    """Words of an answer, as the task counts words."""

    median: Number
    quantiles: dict[str, Number]  # percent -> words


class LengthRatio(Mean):
    """Words of an answer over words of its reference."""

    quantiles: dict[str, Number]  # percent -> ratio; empty where there is no ratio


class Copied(Part):
    """How much of an answer stands in its input."""

    coverage: Mean  # share of its words inside extractive fragments
    density: Mean  # mean squared length of the fragments over its words
    trigrams: Mean  # share of its word trigrams


class Share(Part):
    """The share of answers that have a property."""

    share: Number
    low: Number | None
    high: Number | None
    yes: int  # answers that have it
    n: int
    ids: tuple[str, ...]  # of the first few that have it


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
    """How many answers hold names or quantities that their input does not support."""

    any: Share
    kinds: dict[str, Share]
    examples: tuple[FactExample, ...]  # the first few


class ArmProfile(Part):
    """What the answers of one arm look like."""

    n: int  # answers
    words: Words
    length_ratio: LengthRatio
    copied: Copied
    repeated: Mean  # share of an answer's trigrams that occur earlier in it
    empty: Share
    only_tags: Share  # nothing but speaker tags and punctuation
    hit_limit: Share | None  # stopped by the limit on new tokens; None where unknown
    facts: Facts | None  # None: not counted, for the record's `facts_not_read`


class ProfileRecord(Record):
    """A description of the answers of all arms."""

    FILE: ClassVar[str] = "profile.json"
    REMEDY: ClassVar[str] = "remove the file and start the study again, and it is made from the answers"

    format: FirstFormat
    level: Number  # confidence of every interval
    deciding: str
    margin: Number
    signatures: dict[str, str]  # name -> definition of the number
    budgets: EqualLengths
    buckets: Buckets
    arms: dict[str, ArmProfile]
    not_checked: tuple[str, ...]  # errors that `facts` cannot detect
    facts_not_read: str | None = None  # why facts are not counted: what they read is not this language
