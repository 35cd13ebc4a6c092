"""Every architecture that transformers has goes through luthier's doors, or is refused in a sentence.

A sample of each kind here; all of them in `make journeys`, and as a table by `python -m tests.sweep`.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.sweep.configs import OWN, SIZES, architectures, tiny_config
from tests.sweep.doors import BROKEN, REFUSED, RIGHT, UNMADE, Outcome, go_through

PAGE = Path(__file__).parents[2] / "docs" / "models.md"

SAMPLE = {
    "mamba": RIGHT,  # a recurrent state
    "jamba": RIGHT,  # a hybrid, with experts
    "gemma2": RIGHT,  # sliding windows of 8 tokens, and prompts of 40
    "llama4_text": RIGHT,  # chunks of 8 tokens
    "mixtral": RIGHT,  # experts in one parameter
    "zamba2": RIGHT,  # layers that share their weights
    "led": RIGHT,
    "roberta": RIGHT,  # two rows of positions that are never reached
    "fnet": RIGHT,  # padding is mixed in
    "xlnet": REFUSED,
    "aria": REFUSED,
}
SAID = {
    "xlnet": "depends on tokens behind it, so it does not write text from left to right",
    "aria": "reads images or sound beside text",
}


@pytest.fixture(autouse=True)
def in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")


@pytest.mark.parametrize("architecture", SAMPLE)
def test_a_sample_of_each_kind(architecture: str, tmp_path: Path) -> None:
    outcome = go_through(architecture, tmp_path)
    assert outcome.how == SAMPLE[architecture], str(outcome)
    assert SAID.get(architecture, "") in outcome.said


@pytest.mark.slow
def test_all_of_them(tmp_path: Path) -> None:
    outcomes = []
    for number, name in enumerate(architectures()):
        (place := tmp_path / str(number)).mkdir()
        outcomes.append(go_through(name, place))
    assert [str(outcome) for outcome in outcomes if outcome.how == BROKEN] == []
    counts = Counter(outcome.how for outcome in outcomes)
    assert counts[RIGHT] >= 200, "\n".join(str(outcome) for outcome in outcomes if outcome.how == REFUSED)
    assert counts[UNMADE] <= 10
    for outcome in outcomes:
        assert len(outcome.said.splitlines()) <= 1, str(outcome)


def test_configurations_are_tiny_and_come_from_names() -> None:
    every = architectures()
    assert {"llama": "decoder", "t5": "encoder-decoder", "bert": "encoder", "aria": "other"}.items() <= every.items()
    assert len(every) > 300 and len(OWN) < len(every) / 4, "most are guessed from the names of their keys"
    small = max(size for size, _ in SIZES)
    config = tiny_config("mistral")
    assert config.sliding_window == 8 and config.num_key_value_heads == 2
    assert max(config.vocab_size, config.hidden_size, config.intermediate_size) <= small


def test_the_doors_can_find_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong answers, losses and errors of luthier itself are each told apart from a refusal."""
    with monkeypatch.context() as patch:
        patch.setattr("tests.sweep.doors.reference_nats", lambda model, prompts: [1.0] * len(prompts))
        wrong = go_through("llama", _place(tmp_path, "nats"))
    assert (wrong.how, wrong.door) == (BROKEN, "likelihood") and re.search(r"e0: 1.000 nats, the plain way", wrong.said)
    with monkeypatch.context() as patch:
        patch.setattr("tests.sweep.doors.generate", lambda model, requests: 1 / 0)
        error = go_through("llama", _place(tmp_path, "error"))
    assert (error.how, error.door) == (BROKEN, "answers") and "ZeroDivisionError" in error.said
    with monkeypatch.context() as patch:
        patch.setattr("luthier.model.kv_cache.DynamicCache.reorder_cache", lambda self, rows: None)
        patch.setattr("luthier.decoding.padded.same_as_alone", lambda model, decoder: True)
        unseen = go_through("mamba", _place(tmp_path, "rows"))
    assert (unseen.how, unseen.door) == (BROKEN, "answers"), "without the trial a batch whose rows stay is found"


def _place(root: Path, name: str) -> Path:
    (root / name).mkdir()
    return root / name


def test_the_page_says_what_the_last_sweep_found() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    counted = re.search(
        r"Of (\d+) architectures .*? (\d+) are right, (\d+) are refused .*? of (\d+) no tiny model", page
    )
    assert counted, "docs/models.md has the counts of the sweep"
    tried, right, refused, unmade = map(int, counted.groups())
    assert tried == right + refused + unmade


def test_an_outcome_is_one_line() -> None:
    assert str(Outcome("mamba", "decoder", RIGHT)).split() == ["mamba", "decoder", "right"]
