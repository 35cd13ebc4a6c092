"""Three languages that are not English go from a csv to a report: another alphabet, no blanks, right to left; and
labels of signs go through every kind of arm."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.reports.confusion import matrices
from luthier.reports.read import read_study
from luthier.results.comparison import Comparison
from luthier.results.folder import StudyFolder
from luthier.results.profile_record import ProfileRecord
from luthier.results.study_record import StudyRecord
from luthier.studies.study import study
from luthier.task.check import check_task
from luthier.task.create import init_task
from luthier.task.task import load_task
from tests import tiny

TEXTS = Path(__file__).parents[1] / "data" / "languages"
LANGUAGES = {  # -> what a word is, BLEU's tokenizer, the instruction
    "russian": ("unicode", "intl", "Перескажи разговор одним предложением."),
    "japanese": ("characters", "char", "次の会話を一文でまとめてください。"),
    "arabic": ("unicode", "intl", "لخص المحادثة التالية في جملة واحدة."),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny decoder whose byte tokens write any script, with room for three bytes a character."""
    folder = tiny.save("decoder-chat", tmp_path_factory.mktemp("model") / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2048}))
    return folder


@pytest.mark.parametrize(
    "language", [pytest.param(name, marks=[pytest.mark.slow] if name != "japanese" else []) for name in LANGUAGES]
)
def test_a_study_in_another_language(
    language: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    words, bleu, instruction = LANGUAGES[language]
    init_task(
        tmp_path / language, TEXTS / f"{language}.csv", input="dialogue", target="summary", id="id",
        instruction=instruction, test_share=0.5,
    )  # fmt: skip
    task = load_task(tmp_path / language)
    assert (task.reading.words, task.reading.bleu) == (words, bleu)
    findings = check_task(task)
    assert not [finding for finding in findings if finding.level == "error"]
    assert any(f"words are read as {words} (decide.words)" in finding.text for finding in findings)

    folder = study(
        str(tmp_path / language), model=str(model), arms="copy-1,zero-shot,few-shot-1,lora-r4", dev=2,
        defaults="epochs=1,batch_size=8,evaluations=1", out=tmp_path / "study", precision="fp32",
    )  # fmt: skip
    compared, profile = Comparison.read(folder), ProfileRecord.read(folder)
    assert (StudyRecord.read(folder).task.words, compared.n) == (words, 30)
    assert not compared.missing.get("copy-1", {}).get("rouge1")
    assert compared.signatures["rouge1"].endswith(f"F1|stemmer:none|tokens:{words}|references:mean")
    assert f"|tok:{bleu}|" in compared.signatures["bleu"]
    first_turn = compared.arms["copy-1"]["rouge1"].mean
    assert first_turn is not None and first_turn > 0.15, "its first turn shares words with the summary"
    assert profile.arms["copy-1"].words.mean == pytest.approx(_mean_words(folder, words))
    assert profile.arms["copy-1"].copied.coverage.mean == 1
    assert profile.facts_not_read and all(arm.facts is None for arm in profile.arms.values())
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert task.test[0].references[0] in page and "Not counted: names and quantities are found" in page
    assert page.count('dir="auto"') > 30


def _mean_words(folder: Path, words: str) -> float:
    """Counted by hand: blanks part Russian and Arabic; in Japanese every sign that is no mark and no digit run."""
    import re

    texts = [answer.text for answer in StudyFolder(folder).answers("copy-1")]
    if words == "characters":
        return sum(len(re.findall(r"[^\W]", text)) for text in texts) / len(texts)
    return sum(len(re.findall(r"\w+", text)) for text in texts) / len(texts)


SIGNS = {
    "minus": ("-1", "0", "1"),
    "signs": ("C", "C++", "C#"),
    "stars": ("★", "★★", "★★★"),
    "thumbs": ("👍", "👎", "🤷"),
}


@pytest.mark.parametrize("name", SIGNS)
def test_labels_of_signs_in_every_arm(
    name: str, model: Path, tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each arm is right exactly where what it chose is the row's label; the matrix counts the same."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    labels = SIGNS[name]
    rows = "".join(f"text {i} of {labels[i % 3]},{labels[i % 3]}\n" for i in range(36))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows, encoding="utf-8")
    init_task(tmp_path / "task", tmp_path / "rows.csv", input="text", labels="label", test_share=0.5)
    folder = StudyFolder(
        study(
            str(tmp_path / "task"),
            model=str(model),
            out=tmp_path / "study",
            precision="fp32",
            dev=2,
            arms=["majority", "nearest", "zero-shot", f"head+model={tiny_folder('bert')}"],
            defaults="epochs=1,batch_size=8,evaluations=1",
        )
    )
    compared = Comparison.read(folder.path)
    truth = {example.id: example.references[0] for example in folder.examples()}
    for arm in compared.arms:
        answers = folder.answers(arm)
        assert {answer.text for answer in answers} <= set(labels)
        right = sum(answer.text == truth[answer.id] for answer in answers) / len(answers)
        assert compared.arms[arm]["accuracy"].mean == pytest.approx(right), arm
    for matrix in matrices(read_study(folder.path)):
        said = [line.label for line in matrix.lines]
        counted = {
            (line.label, label): cell.count
            for line in matrix.lines
            for label, cell in zip(said, line.cells, strict=False)
        }
        told = Counter((truth[answer.id], answer.text) for answer in folder.answers(matrix.arm.name))
        assert {pair: count for pair, count in counted.items() if count} == dict(told)
