"""Arms that answer by a search or by the consensus of samples: trained once, measured, asked again, counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import luthier
from luthier.arms.shipped import load_arm, verify
from luthier.files import sha256_of
from luthier.results.folder import StudyFolder
from luthier.verdicts.conclude import costs

TRAINED = "lora+epochs=0.1"
BEAMS, SAMPLES = f"{TRAINED}+beams=3+no_repeat_ngram_size=3", f"{TRAINED}+samples=4+temperature=0.9+agreement=chrf"
PROMPTED, OURS = "zero-shot+beams=2", (TRAINED, BEAMS, SAMPLES)
MODELS = ("decoder-chat", "t5-untied")


@pytest.fixture(scope="module", params=MODELS)
def folder(
    request: pytest.FixtureRequest, tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> StudyFolder:
    made = luthier.study(
        "dialogues", model=str(tiny_folder(request.param)), arms=",".join((PROMPTED, *OURS)),
        train=8, dev=2, test=3, out=tmp_path_factory.mktemp("ways") / "study", precision="fp32",
    )  # fmt: skip
    return StudyFolder(made)


@pytest.mark.slow
def test_arms_that_differ_in_how_they_answer_are_trained_once(folder: StudyFolder) -> None:
    weights = [
        sha256_of(folder.arm(arm) / "adapter" / "adapter_model.safetensors") for arm in (TRAINED, BEAMS, SAMPLES)
    ]
    assert len(set(weights)) == 1
    spent = [folder.cost().of(arm).train_seconds for arm in OURS]
    assert spent[0] > 0 and spent[1:] == [0, 0]


@pytest.mark.slow
def test_what_is_written_for_an_answer_is_counted_and_costs(folder: StudyFolder) -> None:
    arms = {arm: folder.arm_record(arm) for arm in (PROMPTED, *OURS)}
    assert [arm.counts.sequences for arm in arms.values()] == [2, 1, 3, 4]
    cost = costs(arms)
    assert cost[TRAINED] < cost[BEAMS] < cost[SAMPLES]
    length = arms[BEAMS].length
    assert length is not None and (length.by, len(length.dev)) == ("chosen", 1)


@pytest.mark.slow
@pytest.mark.parametrize("arm", [BEAMS, SAMPLES])
def test_an_arm_repeats_its_probes(folder: StudyFolder, arm: str) -> None:
    verify(load_arm(folder.arm(arm)))


@pytest.mark.slow
def test_an_arm_that_searches_is_asked_as_it_was_measured(folder: StudyFolder) -> None:
    for example, answer in zip(folder.examples(), folder.answers(BEAMS), strict=True):
        assert "".join(luthier.ask(folder.path, example.input, arm=BEAMS)).strip() == answer.text
