"""A third party's check of a shipped folder, without a network: every byte, what the evidence says against the scores
beside it, the probes, and on wish the whole test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier import __version__
from luthier.arms.ship import answers_to, evidence_of, rescored
from luthier.arms.shipped import Shipped, load_arm
from luthier.arms.shipped import verify as verify_probes
from luthier.errors import FolderError, ModelError, SettingsError
from luthier.files import possible
from luthier.hashes import sha256_of_files
from luthier.machine import keep_freed_memory
from luthier.model.fingerprint import PICKLES
from luthier.records import Prompt, Score
from luthier.results.comparison import Comparison, Pair
from luthier.results.evidence import EVIDENCE_FOLDER, SUMS_FILE, Evidence, Export, hashes_of, read_sums, refuse_other
from luthier.results.folder import StudyFolder
from luthier.results.lines import EXAMPLES_FILE, PROMPTS_FILE, SCORES_FILE
from luthier.results.record import read_lines_of
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from luthier.verdicts.compare import again

_Said = Pair | Export  # how an arm stands against another, as it was shipped
_DECIDED = ("verdict", "arm", "provisional", "may_be_best", "sentence")
_OF_THE_SHIPPER = {"luthier", "not_checked", "files", Evidence.SEAL}  # fields that no record of the study tells


def verify(folder: str | Path, *, test: bool = False) -> dict[str, Any]:
    """Checks a folder that `ship` made. Raises LuthierError that names the first thing that is not as it was shipped.

    test: all test examples are asked again, scored again, and compared again. Returns what was checked: the number of
    files and probes, the hash that stands for the whole folder and, with `test`, answers, how many differ, and the
    decision.
    """
    place = possible(folder)
    if not Evidence.is_in(place):
        raise FolderError(f"{place}: no {Evidence.FILE} here; name a folder that `luthier ship` made")
    here = hashes_of(place, (SUMS_FILE,))
    if pickles := [name for name in here if name.lower().endswith(PICKLES)]:
        raise FolderError(f"{place / pickles[0]}: is a pickle, which can run code when it is loaded; remove it")
    refuse_other(place, read_sums(place), here, SUMS_FILE)
    evidence = Evidence.read(place)
    evidence.refuse_changed(place)
    refuse_other(place, evidence.files, {n: h for n, h in here.items() if n != Evidence.FILE}, Evidence.FILE)
    keep_freed_memory()
    records = _Records.of(place, evidence)
    records.refuse_contradiction()
    shipped = load_arm(place)
    verify_probes(shipped)
    checked: dict[str, Any] = {
        "arm": evidence.arm, "files": len(here), "sums_sha256": sha256_of_files(place / SUMS_FILE),
        "probes": len(shipped.probes), "decision": evidence.decision,
    }  # fmt: skip
    return checked | (records.tested(shipped) if test else {})


@dataclass(frozen=True)
class _Records:
    """What the folder holds of the study: its records, and the scores of all arms and exports."""

    place: Path
    evidence: Evidence
    study: StudyFolder
    record: StudyRecord
    compared: Comparison
    scores: dict[str, list[Score]]
    exported: dict[str, list[Score]]

    @classmethod
    def of(cls, place: Path, evidence: Evidence) -> _Records:
        study = StudyFolder(place / EVIDENCE_FOLDER)
        compared = Comparison.read(study.path)
        scores = {arm: study.scores(arm) for arm in compared.arms}
        exported = {one.arm: study.scores(one.arm) for one in evidence.exports}
        return cls(place, evidence, study, StudyRecord.read(study.path), compared, scores, exported)

    def refuse_contradiction(self) -> None:
        """Raises FolderError where the evidence is not that of the study's records, or these not what the scores give.

        Somebody who made all hashes again may have written it.
        """
        evidence, note = self.evidence, ShippedNote.read(self.place)
        with_examples = (self.study.path / EXAMPLES_FILE).exists()
        made = evidence_of(evidence.arm, self.record, self.compared, note, evidence.exports, with_examples)
        said, expected = evidence.as_json(), made.as_json()
        if other := next((key for key in expected if key not in _OF_THE_SHIPPER and said[key] != expected[key]), None):
            raise FolderError(
                f"{Evidence.path_in(self.place)}: '{other}' is not what the study's records in {EVIDENCE_FOLDER}/ say; "
                f"{self._remedy}"
            )
        found, said_ship = again(self.compared, self.scores), self.compared.ship
        wrong = next((f"'{name}'" for name in _DECIDED if getattr(found.ship, name) != getattr(said_ship, name)), None)
        if wrong is None and (pair := self._first_other(found, self.scores, _same_numbers)):
            wrong = f"the comparison of {' and '.join(pair)}"
        if wrong:
            raise FolderError(
                f"{Comparison.path_in(self.study.path)}: {wrong} is not what the scores beside it give; {self._remedy}"
            )

    @property
    def _remedy(self) -> str:
        if (version := self.evidence.luthier) == __version__:
            return Evidence.REMEDY
        return f"luthier {version} wrote it, so check it with that version (this is {__version__})"

    def _first_other(
        self, found: Comparison, scores: dict[str, list[Score]], same: Callable[[_Said, Pair | None], bool]
    ) -> tuple[str, str] | None:
        """The first two arms that these scores, compared as `found`, do not show as they were shipped."""
        pairs: list[tuple[str, str, _Said, Comparison]]
        pairs = [(pair.a, pair.b, pair, found) for pair in self.compared.deciding_pairs]
        if self.exported:
            joined = again(self.compared, scores | self.exported)
            pairs += [(one.arm, self.evidence.arm, one, joined) for one in self.evidence.exports]
        return next(((a, b) for a, b, said, now in pairs if not same(said, now.pair(a, b))), None)

    def tested(self, shipped: Shipped) -> dict[str, Any]:
        """The whole test again. Raises FolderError for scores that are not those of the stored answers, ModelError
        where the answers of this machine lead to another decision.
        """
        arm = self.evidence.arm
        if not self.evidence.with_examples:
            raise SettingsError(
                f"{self.place}: was shipped without its test examples, so --test has nothing to ask; leave it out"
            )
        examples, before = self.study.examples(), {answer.id: answer for answer in self.study.answers(arm)}
        if rescored(list(before.values()), examples, self.record.task) != self.scores[arm]:
            path = self.study.arm(arm) / SCORES_FILE
            raise FolderError(f"{path}: these are not the scores of the answers beside it; {self._remedy}")
        answers = answers_to(shipped, read_lines_of(Prompt, self.study.arm(arm) / PROMPTS_FILE))
        scores = self.scores | {arm: rescored(answers, examples, self.record.task)}
        if other := self._first_other(again(self.compared, scores), scores, _same_verdict):
            raise ModelError(
                f"{self.place}: the test, asked again, gives another verdict on {' and '.join(other)} than the "
                "evidence says; this machine or these weights are not those that were measured"
            )
        differ = [answer.id for answer in answers if answer.text != before[answer.id].text]
        verdicts = len(self.compared.deciding_pairs) + len(self.exported)
        return {"answers": len(answers), "differ": differ, "verdicts": verdicts}


def _same_verdict(said: _Said, now: Pair | None) -> bool:
    return said.verdict == (now and now.verdict)


def _same_numbers(said: _Said, now: Pair | None) -> bool:
    """The same verdict, from numbers that differ by no more than the arithmetic of two machines."""
    numbers = [(getattr(said, name), getattr(now, name, None)) for name in ("difference", "low", "high")]
    close = [a is b if a is None or b is None else math.isclose(a, b, abs_tol=1e-6) for a, b in numbers]
    return _same_verdict(said, now) and all(close)
