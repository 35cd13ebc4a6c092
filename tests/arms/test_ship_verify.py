"""Whatever a task's rules are: what is shipped of its study is scored by them, as an export and when it is checked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luthier.arms import ship as ship_module
from luthier.arms.ship import rescored, ship
from luthier.arms.ship_verify import verify
from luthier.arms.shipped import load_arm
from luthier.errors import FolderError, SettingsError
from luthier.results import evidence as evidence_module
from luthier.results.comparison import Comparison
from luthier.results.evidence import Evidence, hashes_of, write_sums
from luthier.results.folder import StudyFolder
from luthier.results.study_record import StudyRecord
from luthier.studies.study import study
from luthier.task.task import load_task
from tests import tiny

TEXTS = "[answer]\nmax_new_tokens = 8\n"
FOLDED = '[classes]\nfold = ["blanks"]\nwords = { "Good" = "Good", "good" = "good", "1.0" = "1.0" }\n'
ALL = 'metric = "bleu"\nmargin = 0.1\nbleu = "char"\nwords = "unicode"\nreferences = "max"\n'
RULES: dict[str, tuple[str, str, tuple[str, ...] | None]] = {  # what is told -> task.toml, the arm, its labels
    "all of texts": (TEXTS + 'reasoning = "leave out"\n[decide]\n' + ALL, "zero-shot", None),
    "words": (TEXTS + '[decide]\nwords = "unicode"\n', "zero-shot", None),
    "bleu": (TEXTS + '[decide]\nmetric = "bleu"\nmargin = 0.1\nbleu = "char"\n', "zero-shot", None),
    "reasoning": (TEXTS + 'reasoning = "leave out"\n', "zero-shot", None),
    "the best reference": (TEXTS + '[decide]\nreferences = "max"\n', "zero-shot", None),
    "labels": (FOLDED + '[decide]\nmetric = "macro_f1"\n', "zero-shot+answer=generation", ("Good", "good", "1.0")),
    "labels by their likelihood": (FOLDED + '[decide]\nmetric = "accuracy"\n', "zero-shot", ("Good", "good", "1.0")),
}
AT_ONCE = ("all of texts", "labels")  # the others are slow: one rule alone


def task_of(folder: Path, toml: str, labels: tuple[str, ...] | None) -> Path:
    folder.mkdir()
    for split, count in (("train", 4), ("dev", 3), ("test", 6)):
        rows = [
            {"id": one.id, "input": one.input, "meta": {},
             "references": [labels[i % 3]] if labels else [*one.references, one.input]}
            for i, one in enumerate(tiny.examples(count, prefix=split))
        ]  # fmt: skip
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.toml").write_text(f'name = "tiny"\n{toml}')
    return folder


@pytest.mark.parametrize("told", [pytest.param(r, marks=[] if r in AT_ONCE else pytest.mark.slow) for r in RULES])
def test_a_shipped_arm_is_scored_by_the_rules_of_its_study(
    told: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    toml, arm, labels = RULES[told]
    place = task_of(tmp_path / "task", toml, labels)
    done = study(place, model=str(tiny_folder("decoder-chat")), arms=[arm], out=tmp_path / "out", precision="fp32")
    folder, task, origin = StudyFolder(done), load_task(str(place)), StudyRecord.read(done).task
    assert (origin.reading, origin.label_set) == (task.reading, task.label_set)
    answers, written = folder.answers(arm), folder.scores(arm)
    assert rescored(answers, folder.examples(), origin) == written
    if origin.reasoning == "leave out":
        thought = [replace(answer, text=f"<think>so</think>{answer.text}") for answer in answers]
        assert [one.values["rouge1"] for one in rescored(thought, folder.examples(), origin)] == [
            one.values["rouge1"] for one in written
        ]
    exports = ["f16"] if load_arm(folder.arm(arm)).answers_by == "generation" else []
    made = ship(done, tmp_path / "mine", arm=arm, gguf=exports, force=True)
    assert len(made.exports) == len(exports)
    for one in made.exports:
        scores = StudyFolder(tmp_path / "mine" / "evidence").scores(one.arm)
        assert (
            scores[0].reasons.keys() <= written[0].reasons.keys()
            and scores[0].values.keys() == written[0].values.keys()
        )
        assert (scores[0].words, scores[0].bleu, scores[0].reasoning) == tuple(vars(task.reading).values())
    assert verify(tmp_path / "mine", test=True)["differ"] == []


# ------------------------------------------------------------------------------------------------- what was decided


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    folder = tmp_path_factory.mktemp("study")
    place = task_of(folder / "task", TEXTS, None)
    return study(place, model=str(tiny_folder("decoder-chat")), arms=["bare"], out=folder / "out", precision="fp32")


@pytest.fixture(scope="module")
def shipped(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shipped") / "mine"
    ship(finished, out, arm="bare", gguf=["f16", "q8_0"], with_modelfile=True, force=True)
    return out


def test_exports_change_nothing_that_the_study_decided(finished: Path, shipped: Path) -> None:
    compared, evidence = Comparison.read(finished), Evidence.read(shipped)
    assert (shipped / "evidence" / "compare.json").read_bytes() == (finished / "compare.json").read_bytes()
    assert (evidence.decision, evidence.verdict) == (compared.ship.sentence, compared.ship.verdict)
    assert evidence.pairs == [pair.seen_from("bare") for pair in compared.deciding_pairs if "bare" in pair.arms]
    assert len(evidence.pairs) == len(compared.arms) - 1 > 0


def resealed(folder: Path, **changes: Any) -> None:
    """Somebody changed evidence.json, and made every hash again."""
    files = hashes_of(folder, ("SHA256SUMS", "evidence.json"))
    Evidence.read(folder).model_copy(update={**changes, "files": files}).sealed().write(folder)
    write_sums(folder)


def test_a_verdict_on_an_export_that_its_scores_do_not_give_is_named(shipped: Path) -> None:
    exports = Evidence.read(shipped).exports
    assert verify(shipped, test=True)["verdicts"] == 3 + len(exports)
    other = "worse" if exports[1].verdict != "worse" else "better"
    resealed(shipped, exports=[exports[0], exports[1].model_copy(update={"verdict": other})])
    try:
        for test in (False, True):
            with pytest.raises(FolderError, match="the comparison of bare@gguf-q8_0 and bare is not what the scores"):
                verify(shipped, test=test)
    finally:
        resealed(shipped, exports=exports)


# ------------------------------------------------------------------------------------------------------ read once


def test_no_file_is_hashed_twice(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = Counter[str]()

    def counted(*paths: Path) -> str:
        hashed.update(path.name for path in paths)
        return original(*paths)

    original = evidence_module.sha256_of_files
    for module in (evidence_module, ship_module):
        monkeypatch.setattr(module, "sha256_of_files", counted)
    ship(finished, tmp_path / "mine", arm="bare", with_examples=False)
    names = [path.name for path in (tmp_path / "mine").rglob("*") if path.is_file() and path.name != "scores.jsonl"]
    assert {name: hashed[name] for name in names} == dict.fromkeys(names, 1)
    hashed.clear()
    verify(tmp_path / "mine")
    assert {name: hashed[name] for name in names if name != "SHA256SUMS"} == {
        name: 1 for name in names if name != "SHA256SUMS"
    }


def test_the_page_names_a_modelfile_where_there_is_one(finished: Path, shipped: Path, tmp_path: Path) -> None:
    assert "ollama create NAME -f Modelfile" in (shipped / "README.md").read_text()
    ship(finished, tmp_path / "mine", arm="bare", gguf=["f16"], force=True)
    assert "ollama" not in (tmp_path / "mine" / "README.md").read_text()
    assert not (tmp_path / "mine" / "Modelfile").exists()


@pytest.mark.parametrize("name, value", [("beams", 2), ("samples", 3), ("no_repeat_ngram_size", 4)])
def test_what_no_modelfile_can_say_is_refused_before_the_export(
    name: str, value: int, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = load_arm(finished / "arms" / "bare")
    other = replace(arm, generation=arm.generation.model_copy(update={name: value}))
    monkeypatch.setattr(ship_module, "load_arm", lambda place: other)
    with pytest.raises(SettingsError, match=f"was measured with {name} {value}, which Ollama does not have"):
        ship(finished, tmp_path / "mine", arm="bare", gguf=["f16"], with_modelfile=True)
    assert list(tmp_path.iterdir()) == []
