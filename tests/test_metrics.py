"""Every metric of the table is computed, has a signature and words, and decides only where more is better."""

from __future__ import annotations

from luthier import metrics
from luthier.records import Answer, Example
from luthier.scoring.score import score, signature


def test_what_is_scored_is_what_the_table_lists() -> None:
    example = Example("a", "Ann: Lunch? Ben: Yes.", ("They eat.",))
    (texts,) = score([Answer("a", "They eat.")], [example])
    (labels,) = score([Answer("a", "They eat.")], [example], labels=("They eat.", "no"))
    assert [*texts.values] == [*metrics.METRICS, *metrics.DESCRIPTIVE]
    assert [*labels.values] == [*metrics.CLASS_METRICS]
    assert set(metrics.CORPUS) == set(texts.statistics)


def test_every_metric_has_words_and_a_signature() -> None:
    for row in metrics.TABLE:
        assert row.words and signature(row.name).startswith(f"{row.name}|")


def test_identical_answers_score_one_in_what_decides() -> None:
    (same,) = score(
        [Answer("a", "Ann and Ben will eat at one.")], [Example("a", "", ("Ann and Ben will eat at one.",))]
    )
    assert all(same.values[name] > 0.999 for name in metrics.CAN_DECIDE if name in same.values)
    assert metrics.DECIDING in metrics.CAN_DECIDE and metrics.DECIDING_LABELS in metrics.CAN_DECIDE


def test_a_task_s_usual_margin_is_one_that_its_test_split_can_resolve() -> None:
    margins = [metrics.usual_margin(units, labelled) for labelled in (False, True) for units in (499, 500)]
    assert margins == [metrics.MARGIN, 0.01, 0.05, metrics.MARGIN]
