"""The plan of a rating, the next question for a rater, and the append-only file of votes.

    study folder --open_ballot--> Ballot --question--> Question --vote--> STUDY/ratings.jsonl

A terminal or a page uses four calls: `question`, `vote`, `undo`, `votes`. The study's seed and the rater's name give
the order of questions, and the file of votes says which are open. So a rater may stop at any time, and several may
work at once.

- A dialogue's pairs are asked one after the other, so that it is read once.
- The first fifth of the dialogues is shared: every rater judges it. The others need one rater each.
- Each rater sees each arm of a pair first in half of the dialogues.
- A tenth is asked again half a block of dialogues later, sides swapped; it measures only how consistent a rater is.
- Two equal answers are a tie, and no question.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from luthier.errors import FolderError, SettingsError
from luthier.files import locked, possible, sha256_of_text
from luthier.records import Answer, Example, Vote
from luthier.results.comparison import Comparison
from luthier.results.names import arm_folder
from luthier.results.ratings_record import VERDICTS, VOTES_FILE, RatingPlan, VoteLine
from luthier.results.record import append_lines_of, read_lines_of
from luthier.results.study_record import StudyRecord
from luthier.scoring.reasoning import without_reasoning

MOST_ARMS = 4  # six pairs a dialogue; five arms would make ten
DIALOGUES, SHARED, REPEATED = 60, 0.2, 0.1
JUDGE = "judge:"  # names of machines begin with it, names of people do not

# No advice here may lead a user to delete votes.
_MEND = "mend that line, or take it out and keep a copy of the file; all other votes stay"
_BEGIN_ANEW = f"move {RatingPlan.FILE} and {VOTES_FILE} out of the folder to begin anew"

Answers = Mapping[str, Mapping[str, str]]  # arm -> example -> text


@dataclass(frozen=True)
class Item:
    """Two answers to one example, and which of them is shown first."""

    example: str
    first: str
    second: str
    shared: bool
    identical: bool
    repeat: bool = False

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """The same for both orders of the two arms."""
        return (self.example, *sorted((self.first, self.second)), self.repeat)  # type: ignore[return-value]


@dataclass(frozen=True)
class Question:
    """One item with the texts to be shown. The arms' names are in `item`, for the file and not for the rater."""

    item: Item
    dialogue: str
    first: str
    second: str
    done: int
    total: int


class Ballot:
    """The plan of a study with its texts and its votes."""

    def __init__(self, folder: Path, plan: RatingPlan, examples: Mapping[str, Example], answers: Answers) -> None:
        self.folder, self.plan, self.examples, self.answers = folder, plan, examples, answers
        self._orders: dict[str, list[Item]] = {}

    def question(self, rater: str) -> Question | None:
        """What to ask this rater next; None when nothing is left. Raises SettingsError for a bad name."""
        votes, rater = self.votes(), person_name(rater)
        mine = {_key(vote) for vote in votes if vote.rater == rater}
        due = due_for(self.order(rater), mine, {vote.item for vote in votes if not vote.machine})
        unanswered = [item for item in due if item.key not in mine]
        if not unanswered:
            return None
        item = unanswered[0]
        first, second = (self.answers[arm][item.example] for arm in (item.first, item.second))
        text = self.examples[item.example].input
        return Question(item, text, first, second, len(due) - len(unanswered), len(due))

    def vote(self, item: Item, rater: str, verdict: str, *, reason: str = "", seconds: float | None = None) -> Vote:
        """Writes a person's vote. Raises SettingsError for another verdict or a bad name, FolderError."""
        if verdict not in VERDICTS:
            raise SettingsError(f"'{verdict}' is no verdict; give one of {', '.join(VERDICTS)}")
        shown = (item.example, item.first, item.second)
        vote = Vote(*shown, person_name(rater), verdict, item.repeat, reason=reason, seconds=seconds)
        self.write([vote])
        return vote

    def undo(self, rater: str) -> Vote | None:
        """Takes back this rater's last vote, also one of an earlier session. The file keeps both lines."""
        name = person_name(rater)
        votes = [vote for vote in self.votes() if vote.rater == name]
        if not votes:
            return None
        self.write([VoteLine.undoing(votes[-1])])
        return votes[-1]

    def write(self, votes: Iterable[Vote]) -> None:
        """Appends votes, one writer at a time: several raters may have the study open."""
        with locked(self.folder / ".rating", wait=True):
            append_lines_of(self.folder / VOTES_FILE, votes)

    def votes(self) -> list[Vote]:
        """The votes that stand, in the order they were given. Raises FolderError for a line that is no vote of ours."""
        return read_votes(self.folder, self.plan)

    def order(self, rater: str) -> list[Item]:
        """Everything that this rater may be asked, in order, identical answers included."""
        if rater not in self._orders:
            rng = random.Random(f"rating-{self.plan.seed}-{rater}")
            ids, shared = self.plan.dialogues, self.plan.shared
            # Shared dialogues come first, so that a rater who stops early can be compared with others.
            self._orders[rater] = [*self._block(ids[:shared], True, rng), *self._block(ids[shared:], False, rng)]
        return self._orders[rater]

    def _block(self, ids: Sequence[str], shared: bool, rng: random.Random) -> list[Item]:
        swapped = {pair: self._swapped(pair, ids, rng) for pair in self.plan.pairs}
        groups = []
        for id in rng.sample(ids, len(ids)):
            items = [self._item(id, pair, id in swapped[pair], shared) for pair in self.plan.pairs]
            groups.append(rng.sample(items, len(items)))
        return [item for group in _with_repeats(groups, rng) for item in group]

    def _item(self, id: str, pair: tuple[str, str], swapped: bool, shared: bool) -> Item:
        first, second = (pair[1], pair[0]) if swapped else pair
        return Item(id, first, second, shared, self.identical(id, pair))

    def _swapped(self, pair: tuple[str, str], ids: Sequence[str], rng: random.Random) -> set[str]:
        """Half of the dialogues where the pair differs: there the second arm is shown first."""
        asked = [id for id in ids if not self.identical(id, pair)]
        spare = rng.random() < 0.5  # of an odd number, one half has one more
        return set(rng.sample(asked, (len(asked) + spare) // 2))

    def identical(self, id: str, pair: tuple[str, str]) -> bool:
        """Whether both answers are equal except for white space."""
        first, second = (" ".join(self.answers[arm][id].split()) for arm in pair)
        return first == second


def _with_repeats(groups: list[list[Item]], rng: random.Random) -> list[list[Item]]:
    """A tenth of the questions again with sides swapped: drawn from the first half, asked half a block later."""
    half = len(groups) // 2
    early = [(index, item) for index in range(half) for item in groups[index] if not item.identical]
    asked = sum(not item.identical for group in groups for item in group)
    for index, item in rng.sample(early, min(len(early), round(REPEATED * asked))):
        groups[index + half].append(replace(item, first=item.second, second=item.first, repeat=True))
    return groups


def due_for(order: Sequence[Item], mine: set[Any], judged: set[Any]) -> list[Item]:
    """The items for one rater: those they answered, the shared ones, and those that no person has judged yet."""
    own = {key[:3] for key in mine}
    free = {item.key[:3] for item in order if item.shared or item.key[:3] in own or item.key[:3] not in judged}
    return [item for item in order if not item.identical and item.key[:3] in free]


def read_votes(folder: Path, plan: RatingPlan) -> list[Vote]:
    """The votes that stand in ratings.jsonl: a later one on a question replaces the earlier, an undone one is gone.

    Raises FolderError, which names the line, where one is damaged or was given under another plan.
    """
    path, votes = folder / VOTES_FILE, dict[Any, Vote]()
    try:
        lines = read_lines_of(VoteLine, path)
    except FolderError as damage:
        raise FolderError(f"{damage}; {_MEND}") from None
    dialogues = set(plan.dialogues)
    for number, line in enumerate(lines, 1):
        if not (line.verdict in VERDICTS or (line.machine and line.verdict is None)):
            raise FolderError(f"{path}: line {number} has the verdict '{line.verdict}', which is none; {_MEND}")
        if (
            line.example not in dialogues
            or not {line.first, line.second} <= set(plan.arms)
            or line.first == line.second
        ):
            raise FolderError(
                f"{path}: line {number} is a vote under another plan, on {line.first} and {line.second} in dialogue "
                f"{line.example}; put the {plan.FILE} of that vote back, or {_MEND}"
            )
        votes.pop((line.rater, _key(line)), None)
        if not line.undo:
            votes[line.rater, _key(line)] = line.vote
    return list(votes.values())


def _key(vote: Vote) -> tuple[Any, ...]:
    return (*vote.item, vote.repeat)


def person_name(name: str) -> str:
    """The name of a person without white space around it. Raises SettingsError for one that no screen can show."""
    if not name.strip() or not name.isprintable() or len(name) > 60:
        raise SettingsError("a rater needs a name of 1 to 60 printable characters; give one with --rater")
    if name.strip().startswith(JUDGE):
        raise SettingsError(
            f"'{name}': names that begin with '{JUDGE}' belong to machines; choose another with --rater"
        )
    return name.strip()


# -------------------------------------------------------------------------------------------------------- the plan


def open_ballot(folder: Path, arms: Sequence[str] | None = None, dialogues: int | None = None) -> Ballot:
    """The ballot of a finished study; the first call decides arms and dialogues and writes rating-plan.json.

    arms: two to four of the study's arms; None: those that may be best, and the best baseline. dialogues: how many;
    None: 60, or as many as there are. Raises FolderError for a folder that is no finished study or whose answers
    changed since the plan was made, SettingsError for arms or numbers that the study or its plan do not have.
    """
    study = StudyRecord.read(possible(folder))
    if study.task.labels:
        raise SettingsError(f"{folder}: its answers are labels, right or wrong; there is nothing for people to judge")
    examples = {example.id: example for example in read_lines_of(Example, folder / "examples.jsonl")}
    if (stored := RatingPlan.read_if_there(folder)) is not None:
        path = RatingPlan.path_in(folder)
        _refuse_other(path, stored, arms, dialogues)
        answers = {arm: _texts(folder, arm, study.task.reasoning) for arm in stored.arms}
        if _hash(answers, stored.dialogues) != stored.answers_sha256:
            raise FolderError(
                f"{path}: the answers changed since rating began; put the old ones back, or {_BEGIN_ANEW}"
            )
        return Ballot(folder, stored, examples, answers)
    names = _chosen(arms, list(study.arms)) if arms is not None else shortlist(_finished(folder))
    answers = {arm: _texts(folder, arm, study.task.reasoning) for arm in names}
    plan = _plan(names, examples, answers, dialogues, study.seed)
    plan.write(folder)
    return Ballot(folder, plan, examples, answers)


def _plan(
    arms: Sequence[str], examples: Mapping[str, Example], answers: Answers, count: int | None, seed: int
) -> RatingPlan:
    units: dict[str, str] = {}  # one example of each dialogue
    for id, example in examples.items():
        if all(id in texts for texts in answers.values()):
            units.setdefault(example.unit, id)
    wanted = min(DIALOGUES, len(units)) if count is None else count
    if not 1 <= wanted <= len(units):
        raise SettingsError(f"{wanted} dialogues were asked for; the study has {len(units)} that all arms answered")
    ids = list(units.values())
    random.Random(f"rating-{seed}").shuffle(ids)
    dialogues = tuple(ids[:wanted])
    return RatingPlan(
        arms=tuple(arms),
        dialogues=dialogues,
        shared=max(1, round(SHARED * wanted)),
        seed=seed,
        answers_sha256=_hash(answers, dialogues),
    )


def _hash(answers: Answers, ids: Sequence[str]) -> str:
    return sha256_of_text(*(texts.get(id, "") for texts in answers.values() for id in ids))


def _texts(folder: Path, arm: str, reasoning: str) -> dict[str, str]:
    """The answers as they were judged by metrics too: without reasoning blocks, where the task leaves them out."""
    path = arm_folder(folder, arm) / "answers.jsonl"
    if not path.exists():
        raise FolderError(f"{path}: no such file; finish the study first, or choose other arms with --arms")
    shown = without_reasoning if reasoning == "leave out" else str
    return {answer.id: shown(answer.text) for answer in read_lines_of(Answer, path)}


def _chosen(arms: Sequence[str], existing: Sequence[str]) -> list[str]:
    """The arms that were named, checked."""
    named = [name.strip() for name in arms if name.strip()]
    if unknown := [name for name in named if name not in existing]:
        raise SettingsError(f"the study has no arm '{unknown[0]}'; it has {', '.join(existing)}")
    if len(set(named)) != len(named) or not 2 <= len(named) <= MOST_ARMS:
        raise SettingsError(
            f"{', '.join(named) or 'no arm'}: rate two to {MOST_ARMS} different arms; name them with --arms"
        )
    return named


def _finished(folder: Path) -> Comparison:
    if not Comparison.is_in(folder):
        raise FolderError(f"{folder}: the study is not finished; start it again, and rate it then")
    return Comparison.read(folder)


def shortlist(comparison: Comparison) -> list[str]:
    """The arms that may be best, the best means first, and the best baseline; two at least, four at most."""
    rows = {name: comparison.deciding_row(name) for name in comparison.by_mean()}
    ranked = [name for name, row in rows.items() if row and row.mean is not None]
    baselines = set(comparison.baseline_names())
    chosen = [name for name in ranked if name in comparison.ship.may_be_best][:MOST_ARMS]
    others = [name for name in ranked if name not in chosen]
    best_baseline = [name for name in others if name in baselines][:1]
    if len(chosen) < MOST_ARMS and not baselines & set(chosen):
        chosen += best_baseline
    chosen += [name for name in others if name not in chosen][: max(0, 2 - len(chosen))]
    if len(chosen) < 2:
        raise SettingsError("the study has one arm only; add another before it is rated")
    return chosen


def _refuse_other(path: Path, plan: RatingPlan, arms: Sequence[str] | None, dialogues: int | None) -> None:
    """Raises SettingsError for another plan than the first: other dialogues or pairs are another experiment."""
    other_arms = arms is not None and [name.strip() for name in arms if name.strip()] != list(plan.arms)
    if other_arms or dialogues not in (None, len(plan.dialogues)):
        raise SettingsError(
            f"{path}: rating began with {', '.join(plan.arms)} on {len(plan.dialogues)} dialogues; leave --arms and "
            f"--dialogues out to go on, or {_BEGIN_ANEW}"
        )
