"""Pretrainings of one trunk: each is what it would be alone, whatever the objective, and killed at any moment."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import FolderError
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.pretrain_record import PretrainRecord
from luthier.results.record import read_lines_of
from luthier.scratch.pretrain import pretrain
from luthier.scratch.pretrain_page import PAGE, record_words
from luthier.scratch.pretraining import Pretraining
from luthier.training.checkpoint import TRUNK_FILE
from tests import children
from tests.children import fp32  # noqa: F401 - this file forks

LENGTHS = (6_000, 10_000, 15_000)
SMALL: dict[str, Any] = {
    "tokenizer": "bytes", "vocabulary": 257, "width": 32, "layers": 2, "heads": 2, "row": 64, "batch_tokens": 512,
    "evaluations": 1, "held_out_bytes": 3000, "checkpoint_seconds": 0.0, "cooldown": 0.2, "trunk_tokens": LENGTHS[-1],
    "precision": "fp32",
}  # fmt: skip
SEED = 20_264
KILLS = 8  # of one journey each


def settings(texts: str, tokens: int, **given: Any) -> Pretraining:
    return Pretraining(corpus=texts, tokens=tokens, **(SMALL | given))


def steps_in(out: Path) -> list[Step]:
    """The lines of metrics.jsonl without their clock."""
    return [line.model_copy(update={"seconds": 0}) for line in read_lines_of(Step, out / METRICS_FILE)]


def test_what_a_trunk_shares_is_known_before() -> None:
    alone = Pretraining(tokens=6_000, cooldown=0.2)
    assert (alone.longest_steps, alone.shared_steps) == (None, 0)
    one = settings("docstrings", 6_000)
    assert (one.steps, one.longest_steps, one.shared_steps) == (12, 30, 10)


def test_settings_without_a_trunk_are_written_as_before_there_were_any() -> None:
    assert "trunk_tokens" not in Pretraining().model_dump() and "trunk_tokens" not in Pretraining().model_dump_json()
    assert '"trunk_tokens":15000' in settings("docstrings", 6_000).model_dump_json()


@pytest.mark.parametrize("given", [
    {}, {"precision": "bf16"}, {"model": "lstm", "optimizer": "adamw"}, {"objective": "masked"},
    {"objective": "spans", "positions": "buckets", "seed": 3},
], ids=lambda given: "-".join(map(str, given.values())) or "causal")  # fmt: skip
def test_a_training_that_began_with_a_shorter_one_s_copy_is_what_it_is_alone(
    given: dict[str, Any], texts: str, tmp_path: Path
) -> None:
    begin = None
    for tokens in LENGTHS:
        one = settings(texts, tokens, **given)
        mine = pretrain(one, tmp_path / f"{tokens}", begin=begin)
        theirs = pretrain(one, tmp_path / f"{tokens}-alone")
        shared = settings(texts, int(begin.name)).shared_steps if begin else None
        assert mine.weights_sha256 == theirs.weights_sha256
        assert mine == theirs.model_copy(update={"shared_steps": shared}), "flops and tokens are those of all its steps"
        assert steps_in(tmp_path / f"{tokens}") == steps_in(tmp_path / f"{tokens}-alone")
        seconds = [line.seconds for line in read_lines_of(Step, tmp_path / f"{tokens}" / METRICS_FILE)]
        assert not any(seconds[: shared or 0]) and len(seconds) == one.steps
        assert ("made by a shorter training" in " ".join(record_words(mine))) == (begin is not None)
        begin = tmp_path / f"{tokens}"


@pytest.mark.parametrize("other", [{"seed": 1}, {"learning_rate": 0.01}, {"trunk_tokens": 20_000}, {"cooldown": 0.1}])
def test_a_copy_of_another_training_is_refused(other: dict[str, Any], texts: str, tmp_path: Path) -> None:
    pretrain(settings(texts, 6_000, **other), tmp_path / "other")
    with pytest.raises(FolderError, match=rf"{TRUNK_FILE}: the checkpoint was made of other examples or settings"):
        pretrain(settings(texts, 10_000), tmp_path / "mine", begin=tmp_path / "other")
    (tmp_path / "other" / TRUNK_FILE).unlink()
    assert pretrain(settings(texts, 10_000), tmp_path / "mine", begin=tmp_path / "other").shared_steps is None


@pytest.mark.slow
def test_trainings_of_a_trunk_that_are_killed_go_on_to_the_same_weights(texts: str, tmp_path: Path) -> None:
    """kill -9 at changes of the disk drawn by a seed: in the shorter training, in the longer, and around the copy."""

    def both(root: Path) -> None:
        for name, tokens, begin in (("short", LENGTHS[0], None), ("long", LENGTHS[1], root / "short")):
            pretrain(settings(texts, tokens), root / name, tokenizers=root / "tokenizer", begin=begin)

    def killed(root: Path, at: int | None) -> int:
        root.mkdir(exist_ok=True)
        return children.run(lambda: both(root), root, children.counting(root, at, tmp_path / "events")).code

    assert killed(tmp_path / "whole", None) == 0
    events, dice, moments = int((tmp_path / "events").read_text()), random.Random(SEED), []
    for number in range(KILLS):
        here, journey = tmp_path / f"{number}", []
        while (code := killed(here, at := dice.randint(1, events // 2))) != 0:
            assert code == -9, f"killed at {journey}"
            journey.append(at)
        for name in ("short", "long"):
            assert PretrainRecord.read(here / name) == PretrainRecord.read(tmp_path / "whole" / name), journey
            assert steps_in(here / name) == steps_in(tmp_path / "whole" / name), journey
        assert PretrainRecord.read(here / "long").shared_steps == 10
        assert (here / "long" / PAGE).exists() and not list(here.rglob(".*.part")), journey
        moments += journey
    alone = pretrain(settings(texts, LENGTHS[1]), tmp_path / "alone")
    assert alone.weights_sha256 == PretrainRecord.read(tmp_path / "whole" / "long").weights_sha256
    print(f"{events} events, killed before: {moments}")
