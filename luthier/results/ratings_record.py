"""rating-plan.json, ratings.jsonl and ratings.json: the questions to raters, their votes, and the results.

`Share.low` and `Share.high`, like every `low` and `high` here, are the ends of an interval of the level `Ratings.level`
over dialogues. An item is one pair of arms on one dialogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal

from luthier.records import Vote
from luthier.results.record import Number, Part, Record

VOTES_FILE = "ratings.jsonl"
VERDICTS = ("first", "second", "tie", "both bad")


class RatingPlan(Record):
    """The questions, the same for every rater."""

    FILE: ClassVar[str] = "rating-plan.json"
    REMEDY: ClassVar[str] = "remove it and rate again with the same --arms and --dialogues; all votes stay"

    arms: tuple[str, ...]
    dialogues: tuple[str, ...]  # ids of examples, in a random order; a longer plan begins with a shorter one
    shared: int  # every rater judges the first so many dialogues
    seed: int
    answers_sha256: str  # of all judged texts; votes on other texts do not count

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every pair of arms, in the order of `arms`."""
        return list(combinations(self.arms, 2))


@dataclass(frozen=True)
class VoteLine(Vote):
    """One line of ratings.jsonl: a vote, or the same vote with `undo`, which takes it back."""

    undo: bool = False

    @classmethod
    def undoing(cls, vote: Vote) -> VoteLine:
        """The line that takes `vote` back."""
        return cls(**vars(vote), undo=True)

    @property
    def vote(self) -> Vote:
        return Vote(**{name: value for name, value in vars(self).items() if name != "undo"})


# ---------------------------------------------------------------------------------------------------- shares of votes


class Share(Part):
    """A share of votes with the number of votes."""

    value: Number
    low: Number
    high: Number
    votes: Number


class Agreement(Part):
    """How often raters agree on an item, over the items with two votes or more."""

    percent: Share  # pairs of votes on one item with the same verdict
    alpha: Number | None  # Krippendorff's, nominal: 0 is chance, 1 perfect; None where no disagreement was possible
    low: Number | None  # of alpha
    high: Number | None
    items: int


# ------------------------------------------------------------------------------------------------ results


class ArmStrength(Part):
    """One arm on Davidson's scale."""

    arm: str
    log_strength: Number  # natural logarithm; the arms' mean is 0
    low: Number | None
    high: Number | None
    win_rate: Number  # expected against a random other arm, ties counted half


class Strengths(Part):
    """The arms, the strongest first; none, with the reason, where the votes do not link all arms."""

    arms: tuple[ArmStrength, ...]
    log_tie: Number | None  # 0: equally strong arms tie as often as each wins
    one_sided: bool | None  # whether a group of arms lost no decisive vote to the rest
    reason: str | None


class PairRating(Part):
    """Arm `a` against arm `b`, from the votes on this pair alone."""

    a: str
    b: str
    n: int  # dialogues
    votes: int
    a_wins: int  # votes
    ties: int  # votes, both bad included
    b_wins: int  # votes
    both_bad: int  # votes
    win_rate: Number | None  # share of dialogues in which a is preferred, ties counted half; None without votes
    low: Number | None
    high: Number | None
    simultaneous_low: Number | None  # of the interval that is widened for all pairs together
    simultaneous_high: Number | None
    verdict: str  # of a against b: better, worse or cannot tell
    decisive: Share | None = None  # of the votes that chose a side, those for a; absent without votes

    @property
    def decisive_votes(self) -> int:
        return self.a_wins + self.b_wins


class BothBad(Part):
    """How often raters called both answers bad, in all votes and in the votes on each arm."""

    all: Share | None
    arms: dict[str, Share | None]


class PeopleRatings(Part):
    """The results of all people's votes together."""

    raters: int
    votes: int  # repeats left out
    judged_dialogues: int
    identical_items: int  # items whose two answers are equal; a tie once a rater has reached them
    strengths: Strengths | None
    pairs: tuple[PairRating, ...]
    both_bad: BothBad
    position: Share | None  # decisive votes for the answer shown first
    repeats: Share | None  # questions asked again with sides swapped, with the same verdict
    agreement: Agreement | None


class Rater(Part):
    """One person: number of votes, speed, consistency, and preference for a side."""

    rater: str
    votes: int  # repeats included
    seconds_median: Number | None  # of a vote
    position: Share | None
    repeats: Share | None
    with_others: Share | None  # other people's votes on the same items with the same verdict
    ties: Share | None
    both_bad: Share | None


class Correlation(Part):
    """The correlation of a metric's differences with people's preferences, within dialogues."""

    value: Number
    low: Number | None
    high: Number | None
    n: int  # dialogues


class MetricAgreement(Part):
    """How well one metric agrees with people."""

    agrees: Share | None  # decisive votes for the answer that the metric prefers
    metric_ties: int  # decisive votes where the metric scores both answers the same
    correlation: Correlation | None


class WithPeople(Part):
    """How often a judge agrees with people: in all votes on the same items, and in those where both chose a side."""

    all: Share | None
    decisive: Share | None


class JudgeRatings(Part):
    """The results of one machine's votes, which are never added to people's."""

    judge: str
    machine: Literal[True]
    items: int  # asked
    no_verdict: dict[str, int]  # reason -> items
    inconsistent: Share | None  # items whose verdict changed when the sides were swapped
    turned: dict[str, int]  # its verdicts in both orders -> items
    votes: int
    strengths: Strengths | None
    pairs: tuple[PairRating, ...]
    both_bad: BothBad | None
    with_people: WithPeople | None


class FigureRow(Part):
    """One point of a figure, with its interval."""

    label: str
    value: Number
    low: Number | None
    high: Number | None


class Figure(Part):
    """The rows of one figure."""

    x: str  # the axis's name
    reference: Number  # position of the line for *no difference*
    rows: tuple[FigureRow, ...]


class Ratings(Record):
    """The results of the votes of a study."""

    FILE: ClassVar[str] = "ratings.json"
    REMEDY: ClassVar[str] = "make it again with: luthier rate STUDY --result"

    format: Literal[1]
    arms: tuple[str, ...]
    dialogues: int
    shared: int  # dialogues that every rater judges
    seed: int
    level: Number  # of every interval, such as 0.95
    people: PeopleRatings | None  # None: no person has voted
    raters: tuple[Rater, ...]
    metrics: dict[str, MetricAgreement]
    judges: tuple[JudgeRatings, ...]
    votes_needed: dict[str, int]  # share of decisive votes, such as '0.6' -> votes needed to detect it
    figures: dict[str, Figure]  # strengths, pairs and metrics; none without people's votes
    sentences: tuple[str, ...]  # the conclusions, for a reader of nothing else
