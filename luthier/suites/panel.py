"""`panel`: what a base could do, and what each arm trained on it kept. The same items, the same code, paired by item.

    base: text, pairs, following, its own plain answers --> panel/BASE-MARK.jsonl
    arm:  text, pairs, following, drift from the base   --> panel/ARM-MARK.jsonl
    lines --judge--> panel.json, panel.html

Lines are kept by a hash of weights, items and checks, so a stopped panel goes on where it stopped, and another margin
or one more arm asks nothing again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from luthier.arms.shipped import Shipped, found_again, load_arm
from luthier.errors import SettingsError
from luthier.files import possible, sha256_of_text
from luthier.machine import keep_freed_memory, versions
from luthier.model.fingerprint import files_of_base, mark_of_base, refuse_other_files
from luthier.model.model import PRECISIONS, Model, load
from luthier.model.sources import resolve
from luthier.progress import bar, check_stop, say, stoppable
from luthier.results.folder import StudyFolder
from luthier.results.names import run_folder
from luthier.results.panel_record import Asked, Panel, PanelItem, items_file
from luthier.results.record import append_lines_of, read_lines_of, write_lines_of
from luthier.results.resume import locked_study
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from luthier.suites import asking
from luthier.suites.harness_tasks import checks
from luthier.suites.instruments import INSTRUMENTS, LEVEL, margins_from
from luthier.suites.items import sha256_of
from luthier.suites.judge import Lines, arm_of, comparisons_of, readings
from luthier.suites.page import write_page

ENCODER = "an encoder writes no text"


@dataclass(frozen=True)
class Subject:
    """A model that is asked. `weights` says which weights it has, and what else decides its lines; `base` names the
    subject that it is held against.
    """

    name: str
    weights: str
    load: Callable[[], Model]
    base: str | None = None


def panel(
    source: str | Path,
    *,
    arm: str | None = None,
    base: str | None = None,
    margin: str | Mapping[str, float] | None = None,
    out: str | Path | None = None,
    command: str = "",
) -> Path:
    """Asks the panel and returns the folder with panel.json and panel.html.

    source: a study (all its arms that have weights of their own, or `arm`), an arm's folder, or a model. An arm is held
    against its own base, a model against the model `base`, or against none. out: the folder; else a study's own, or
    panels/NAME-xxxxxxxx, named by the weights too. Raises LuthierError, also for a folder with the panel of others.
    """
    keep_freed_memory()
    path, margins = possible(source), margins_from(margin)
    is_study = StudyRecord.is_in(path)
    if arm is not None and not is_study:
        raise SettingsError(f"{source}: is no study, so it has no arm '{arm}'; leave --arm out")
    if base is not None and (is_study or ShippedNote.is_in(path)):
        raise SettingsError(f"{source}: is held against the base that it was trained on; leave --base out")
    if is_study and arm is None and out is None:
        if margin is not None and StudyRecord.read(path).requires_kept:
            raise SettingsError(
                f"{path}: was decided by its panel's margins, after which they stay; name another folder with --out"
            )
        with locked_study(StudyFolder(path), StudyRecord), stoppable():
            of_study(path, margins if margin is not None else None, command)
        return path
    if is_study:
        subjects, left_out = subjects_of_study(path, arm)
    elif ShippedNote.is_in(path):
        subjects, left_out = _with_base(path.resolve().name, path)
    else:
        subjects, left_out = _models(str(source), base), {}
    mark = sha256_of_text(*(subject.weights for subject in subjects))[:8]
    name = (arm or path.resolve().name or "model").replace("/", "-")
    folder = possible(out) if out else Path("panels") / f"{name}-{mark}"
    _refuse_panel_of_others(folder, subjects)
    folder.mkdir(parents=True, exist_ok=True)
    with stoppable():
        ask_all(folder, subjects, margins, left_out, command)
    return folder


def _refuse_panel_of_others(folder: Path, subjects: Sequence[Subject]) -> None:
    """Raises SettingsError where the folder says something of weights that are not asked now, which would be lost."""
    stored = Panel.read_if_there(folder)
    asked = {subject.name: subject.weights for subject in subjects}
    if stored and (lost := [name for name, mark in stored.weights.items() if asked.get(name) != mark]):
        raise SettingsError(
            f"{folder}: holds a panel of '{lost[0]}', which is not asked now or has other weights now; "
            "name another folder with --out"
        )


def of_study(folder: Path, margins: Mapping[str, float] | None, command: str) -> Panel:
    """The panel of a study's arms, in its folder. Without `margins` those of an earlier panel hold, or the usual ones.

    The caller has locked the folder.
    """
    if margins is None:
        stored = Panel.read_if_there(folder)
        kept = {name: one.margin for name, one in stored.instruments.items() if one.margin} if stored else {}
        margins = margins_from(kept)
    subjects, left_out = subjects_of_study(folder)
    return ask_all(folder, subjects, margins, left_out, command)


def subjects_of_study(folder: Path, only: str | None = None) -> tuple[list[Subject], dict[str, str]]:
    """The bases and arms of a study that are asked, and why others are not. Raises SettingsError for an arm without
    weights of its own, if it is asked for alone."""
    subjects: dict[str, Subject] = {}
    left_out: dict[str, str] = {}
    arms = StudyRecord.read(folder).arms
    if only is not None and only not in arms:
        raise SettingsError(f"{folder}: has no arm '{only}'; there are: {', '.join(arms)}")
    for name in arms if only is None else (only,):
        path = run_folder(folder, name)
        note = ShippedNote.read_if_there(path)
        if note is None or note.weights is None:
            if only is not None:
                why = "is not finished" if note is None else "has no weights of its own, so it forgets nothing"
                raise SettingsError(f"{folder}: arm '{name}' {why}")
            continue
        found, reasons = _with_base(name, path)
        subjects |= {subject.name: subject for subject in found}
        left_out |= reasons
    if not subjects and not left_out:
        say("panel: no arm of this study has weights of its own, so nothing can be forgotten")
    return sorted(subjects.values(), key=lambda subject: subject.base is not None), left_out


def _with_base(name: str, path: Path) -> tuple[list[Subject], dict[str, str]]:
    """The base of an arm's folder and the arm itself; for an encoder the reason why it is not asked."""
    note = ShippedNote.read(path)
    if note.base.family == "encoder":
        return [], {name: ENCODER}

    @cache
    def base_model() -> Model:
        found = found_again(note.base, path)
        refuse_other_files(
            resolve(found), note.base.files, files_of_base(resolve(found)), f"{path} was made on another base"
        )
        return load(found, precision=note.base.precision, day=note.day)

    @cache
    def shipped() -> Shipped:
        return load_arm(path)

    base = f"base {Path(note.base.name).name} {note.base.sha256[:8]}"
    return [
        Subject(base, f"{note.base.sha256} {note.base.precision}", base_model),
        Subject(name, note.note_sha256, lambda: shipped().model, base),
    ], {}


def _models(source: str, base: str | None) -> list[Subject]:
    """A model, held against another one where `base` names it."""
    model = load(source)
    if base is None:
        return [_subject(model, f"base {Path(model.name).name}")]
    first = load(base, day=model.day)
    before = _subject(first, f"base {Path(first.name).name}")
    return [before, _subject(model, Path(model.name).name, before.name)]


def _subject(model: Model, name: str, base: str | None = None) -> Subject:
    precision = next(short for short, dtype in PRECISIONS.items() if dtype == model.dtype)
    # Its tokenizer and chat template decide its lines too; and the day, where its prompts print it.
    mark = " ".join([mark_of_base(model.folder), precision, *model.printed_day.values()])
    return Subject(name, mark, lambda: model, base)


def ask_all(
    folder: Path, subjects: Sequence[Subject], margins: Mapping[str, float], left_out: Mapping[str, str], command: str
) -> Panel:
    """Asks every subject what its lines lack, and writes panel.json and panel.html."""
    arms = [subject for subject in subjects if subject.base]
    count = comparisons_of([arm.name for arm in arms])
    asked = _asked(margins, count)
    for one in asked.values() if arms else ():
        say(f"panel: {one.before}")
    lines: dict[str, Lines] = {}
    by_name = {subject.name: subject for subject in subjects}
    for subject in subjects:
        lines[subject.name] = _ask(folder, subject, by_name.get(subject.base or ""), lines)
    bases = {s.name: {k: v for k, v in readings(lines[s.name]).items() if k != "drift"} for s in subjects if not s.base}
    record = Panel(
        format=1,
        command=command or f"luthier panel {folder}",
        versions=versions(),
        level=LEVEL,
        comparisons=count,
        instruments=asked,
        weights={subject.name: subject.weights for subject in subjects},
        bases=bases,
        arms={arm.name: arm_of(str(arm.base), lines[str(arm.base)], lines[arm.name], margins, count) for arm in arms},
        left_out=dict(left_out),
    )
    record.write(folder)
    write_page(folder, record)
    return record


def _asked(margins: Mapping[str, float], comparisons: int) -> dict[str, Asked]:
    return {
        name: Asked(
            unit=one.unit, items=len(one.items()), margin=margins.get(name), before=one.before(comparisons),
            sha256=sha256_of(one.items()),
        )
        for name, one in INSTRUMENTS.items()
    }  # fmt: skip


def _ask(folder: Path, subject: Subject, base: Subject | None, asked: Mapping[str, Lines]) -> Lines:
    """instrument -> lines of one subject. What its file holds already is not asked again."""
    hashes = {name: sha256_of(one.items()) for name, one in INSTRUMENTS.items()}
    against = base.weights if base else ""
    limits = [asking.ANSWER_TOKENS, asking.DRIFT_ANSWER_TOKENS]
    mark = sha256_of_text(json.dumps([hashes, limits]), checks(), subject.weights, against)
    path = items_file(folder, subject.name, mark)
    lines: dict[str, list[PanelItem]] = {}
    for row in read_lines_of(PanelItem, path):
        lines.setdefault(row.instrument, []).append(row)
    whole = {name: rows for name, rows in lines.items() if len(rows) == len(INSTRUMENTS[name].items())}
    if len(whole) != len(lines):  # an instrument that was interrupted is asked again as a whole
        write_lines_of(path, [row for rows in whole.values() for row in rows])
    wanted = [name for name in INSTRUMENTS if name not in whole]
    total = sum(len(INSTRUMENTS[name].items()) for name in wanted)
    if wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        model = subject.load()
        with bar(f"panel: {subject.name}", total, "items") as progress:
            for name in wanted:
                new = _instrument(name, model, base, asked, progress.advance)
                append_lines_of(path, new)
                whole[name] = new
                check_stop()
    return {name: whole[name] for name in INSTRUMENTS if name in whole}


def _instrument(
    name: str, model: Model, base: Subject | None, asked: Mapping[str, Lines], watch: Callable[[int], None]
) -> list[PanelItem]:
    items: Any = INSTRUMENTS[name].items()
    if name == "text":
        return asking.read_documents(model, items, watch)
    if name == "pairs":
        return asking.read_pairs(model, items, watch)
    if name == "following":
        return asking.follow(model, items, watch)
    if base is None:
        return asking.own_answers(model, items, watch)
    return asking.drift(base.load(), model, items, asked[base.name]["drift"], watch)
