"""Profile, people, effort, seeds and likelihood on the page; each of them may be absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.files import read_json, write_json
from luthier.rating.ballot import open_ballot
from luthier.rating.result import result
from luthier.reports.evidence import equal_length_rows, facts_of, profiled, with_recipe
from luthier.reports.read import read_study
from luthier.reports.words import limit_effect
from luthier.reports.write import report
from luthier.results.folder import StudyFolder
from luthier.verdicts.profile import profile
from tests.rated import rate_all
from tests.reports.made import changed, made_examples, make_study
from tests.reports.test_write import Outline

ARMS = {"copy-3": 0.0, "zero-shot": 0.45, "lora": 0.9}
OPTIONAL = ("answers", "facts", "people", "seeds", "likelihood")  # sections of what a study need not have


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    """A study with everything a folder may hold, by the code that writes it; seeds and likelihood are made up."""
    examples = made_examples(24)
    path = make_study(tmp_path_factory.mktemp("full"), ARMS, examples)
    answers = {name: StudyFolder(path).answers(name) for name in ARMS}
    profile(answers, examples, examples, deciding="rouge1", margin=0.02).write(path)
    rate_all(open_ballot(path, list(ARMS)), "ann")
    result(path)
    changed(path, "study.json", effort=["1 trained arm (lora) under 3 seeds: 3 trainings."])
    tuning = {
        "trials": 4,
        "trainings": 7,
        "train_tokens": 90_000,
        "chosen": {"rank": 8},
        "metric": "rouge1",
        "dev": 0.4,
    }
    changed(path, "arms/lora/arm.json", tuning=tuning)
    compared = read_json(path / "compare.json")
    lora = compared["arms"]["lora"]
    lora["rouge1"]["recipe"] = {"mean": 0.81, "low": 0.7, "high": 0.9, "seeds": 3, "seed_share": 0.4, "seed_sd": 0.01}
    lora["bits_per_character"] = {"mean": 0.91, "low": 0.8, "high": 1.0, "n": 24}
    compared["claims"] = {"model": "This model: lora.", "recipe": "This recipe: lora <again>."}
    write_json(path / "compare.json", compared)
    report(path)
    return path


@pytest.fixture
def copied(full, tmp_path) -> Path:
    return Path(shutil.copytree(full, tmp_path / "study"))


def test_every_section_is_there_and_in_the_contents(full):
    outline = Outline((full / "report.html").read_text())
    assert outline.open == []
    for section in (*OPTIONAL, "effort"):
        assert section in outline.all("id") and f"#{section}" in outline.all("href")


@pytest.mark.parametrize("missing", ["profile.json", "ratings.json"])
def test_a_study_without_a_file_leaves_its_sections_out(copied, missing):
    (copied / missing).unlink()
    ids = Outline(report(copied).read_text()).all("id")
    gone = {"profile.json": ("answers", "facts"), "ratings.json": ("people",)}[missing]
    assert not set(gone) & set(ids) and set(OPTIONAL) - set(gone) <= set(ids)


def test_a_damaged_file_is_a_sentence(copied):
    write_json(copied / "profile.json", {"level": 0.95})
    with pytest.raises(FolderError, match=r"profile.json: the key 'format' is missing; remove the file"):
        report(copied)


def test_shares_and_means_stand_on_the_page_with_their_intervals(full):
    page = read_study(full)
    share = facts_of(page)["lora"].any
    text = (full / "report.html").read_text()
    assert f"{100 * share.share:.3g} %" in text and f"{100 * share.high:.0f}]" in text
    assert f"{profiled(page)['lora'].words.mean:.1f} <span" in text
    assert "negation, omission, swapped roles" in text


def test_a_budget_says_whether_the_decision_changes(copied):
    record = read_json(copied / "profile.json")
    _, first, second, *_ = record["budgets"]["rows"]
    first |= {"flips": [], "ship_flips": False}
    second |= {"ship": {"verdict": "ship", "arm": "copy-3", "provisional": "copy-3"}, "ship_flips": True,
               "flips": [{"a": "lora", "b": "copy-3", "before": "better", "after": "worse"}]}  # fmt: skip
    write_json(copied / "profile.json", record)
    said = [limit_effect(row) for row in equal_length_rows(read_study(copied))]
    assert said[:3] == ["the study's verdict", "same", "decision changes: ship copy-3"]
    assert "lora against copy-3: better, then worse" in report(copied).read_text()


def test_people_and_their_sentences_are_shown(full):
    ratings, text = read_json(full / "ratings.json"), (full / "report.html").read_text()
    assert ratings["sentences"] and all(sentence.split(" (")[0] in text for sentence in ratings["sentences"])
    assert 'aria-label="log-strength: ' in text
    assert ratings["sentences"][0].split(" (")[0] in (full / "report.md").read_text()


def test_judges_stand_apart(copied):
    ratings = read_json(copied / "ratings.json")
    judge = {"judge": "glass-1", "machine": True, "items": 9, "no_verdict": {"unclear": 2}, "inconsistent": None,
             "turned": {}, "votes": 9, "strengths": None, "pairs": ratings["people"]["pairs"], "both_bad": None,
             "with_people": None}  # fmt: skip
    write_json(copied / "ratings.json", ratings | {"judges": [judge], "people": None, "figures": {}})
    ids = Outline(report(copied).read_text()).all("id")
    assert "judges" in ids and "people" not in ids


def test_effort_counts_trials_and_an_arm_without_them_has_none(full, copied):
    assert read_study(full).trained[0].tuning.trials == 4
    changed(copied, "arms/lora/arm.json", tuning=None)
    assert read_study(copied).trained[0].tuning.trials == 0
    report(copied)


def test_a_recipe_and_its_sentences_are_escaped(full):
    assert list(with_recipe(read_study(full))) == ["lora"]
    assert "This recipe: lora &lt;again&gt;." in (full / "report.html").read_text()
    assert "0.810 [0.700, 0.900]" in (full / "report.md").read_text()
