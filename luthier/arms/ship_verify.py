"""A third party's check of a shipped folder, without a network: every byte, the probes, and on wish the whole test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luthier.arms.ship import answers_to, rescored
from luthier.arms.shipped import Shipped, load_arm
from luthier.arms.shipped import verify as verify_probes
from luthier.errors import FolderError, ModelError, SettingsError
from luthier.files import possible
from luthier.hashes import sha256_of_files
from luthier.machine import keep_freed_memory
from luthier.model.fingerprint import PICKLES
from luthier.records import Prompt, Verdict
from luthier.results.comparison import Comparison
from luthier.results.evidence import EVIDENCE_FOLDER, SUMS_FILE, Evidence, hashes_of, read_sums, refuse_other
from luthier.results.folder import StudyFolder
from luthier.results.lines import PROMPTS_FILE
from luthier.results.record import read_lines_of
from luthier.results.study_record import StudyRecord
from luthier.verdicts.compare import again


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
    shipped = load_arm(place)
    verify_probes(shipped)
    checked: dict[str, Any] = {
        "arm": evidence.arm, "files": len(here), "sums_sha256": sha256_of_files(place / SUMS_FILE),
        "probes": len(shipped.probes), "decision": evidence.decision,
    }  # fmt: skip
    return checked | (_tested(place, evidence, shipped) if test else {})


def _tested(place: Path, evidence: Evidence, shipped: Shipped) -> dict[str, Any]:
    """The whole test again. Raises ModelError where it leads to another decision."""
    if not evidence.with_examples:
        raise SettingsError(
            f"{place}: was shipped without its test examples, so --test has nothing to ask; leave it out"
        )
    study = StudyFolder(place / EVIDENCE_FOLDER)
    record, compared = StudyRecord.read(study.path), Comparison.read(study.path)
    examples, before = study.examples(), {answer.id: answer for answer in study.answers(evidence.arm)}
    answers = answers_to(shipped, read_lines_of(Prompt, study.arm(evidence.arm) / PROMPTS_FILE))
    scores = {name: study.scores(name) for name in compared.arms}
    scores[evidence.arm] = rescored(answers, examples, record.task)
    said = {(pair.a, pair.b): pair.verdict for pair in compared.deciding_pairs}
    found = again(compared, scores)
    now = {names: _verdict(found, *names) for names in said}
    if evidence.exports:
        joined = again(compared, scores | {one.arm: study.scores(one.arm) for one in evidence.exports})
        said |= {(one.arm, evidence.arm): one.verdict for one in evidence.exports}
        now |= {(one.arm, evidence.arm): _verdict(joined, one.arm, evidence.arm) for one in evidence.exports}
    if other := next((names for names in said if said[names] != now[names]), None):
        raise ModelError(
            f"{place}: the test, asked again, gives another verdict on {' and '.join(other)} than the evidence says; "
            "this machine or these weights are not those that were measured"
        )
    differ = [answer.id for answer in answers if answer.text != before[answer.id].text]
    return {"answers": len(answers), "differ": differ, "verdicts": len(said)}


def _verdict(compared: Comparison, a: str, b: str) -> Verdict | None:
    pair = compared.pair(a, b)
    return pair.verdict if pair else None
