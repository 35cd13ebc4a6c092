"""The mixture: shares by the formulas, met to one example, nothing drawn again before everything was drawn once."""

from __future__ import annotations

from collections import Counter

import pytest

from luthier.errors import SettingsError
from luthier.settings import settings_from
from luthier.studies.mixture import Mixture, MixtureSample, draw, mixture_record, quotas, rates

SIZES = {"small": 10, "middle": 30, "large": 160}
ONE = dict.fromkeys(SIZES, 1)


def test_proportional_shares_follow_the_sizes_up_to_the_cap() -> None:
    assert rates(SIZES, Mixture()) == pytest.approx({"small": 0.05, "middle": 0.15, "large": 0.8})
    capped = rates(SIZES, Mixture(cap=60))
    assert capped == pytest.approx({"small": 0.1, "middle": 0.3, "large": 0.6})


def test_temperature_takes_the_root_of_the_capped_shares() -> None:
    found = rates({"a": 1, "b": 9}, Mixture(kind="temperature", temperature=2.0))
    assert found == pytest.approx({"a": 0.25, "b": 0.75})  # roots of .1 and .9 are 1 to 3
    found = rates({"a": 1, "b": 900}, Mixture(kind="temperature", temperature=2.0, cap=9))
    assert found == pytest.approx({"a": 0.25, "b": 0.75})


def test_temperature_goes_from_proportional_to_equal() -> None:
    one = rates(SIZES, Mixture(kind="temperature", temperature=1.0))
    many = rates(SIZES, Mixture(kind="temperature", temperature=1e6))
    assert one == pytest.approx(rates(SIZES, Mixture()))
    assert many == pytest.approx(rates(SIZES, Mixture(kind="equal")), abs=1e-5)


def test_quotas_add_up_and_give_what_is_left_to_the_largest_rests() -> None:
    assert quotas({"a": 0.5, "b": 0.3, "c": 0.2}, 7) == {"a": 4, "b": 2, "c": 1}  # 3.5, 2.1, 1.4
    assert quotas({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, 8) == {"a": 3, "b": 3, "c": 2}
    for total in range(30, 60):
        assert sum(quotas(rates(SIZES, Mixture()), total).values()) == total


def test_a_task_that_would_give_no_example_is_refused() -> None:
    with pytest.raises(SettingsError, match="no example of 'small' among 8"):
        draw(SIZES, ONE, Mixture(), 8, 0)


def test_the_draw_is_a_function_of_the_seed_and_mixes_the_tasks() -> None:
    drawn = draw(SIZES, ONE, Mixture(), 100, 3)
    assert drawn == draw(SIZES, ONE, Mixture(), 100, 3)
    assert drawn != draw(SIZES, ONE, Mixture(), 100, 4)
    assert Counter(one.task for one in drawn) == {"small": 5, "middle": 15, "large": 80}
    assert len({one.task for one in drawn[:20]}) > 1


def test_nothing_is_drawn_again_before_everything_was_drawn_once() -> None:
    drawn = draw(SIZES, ONE, Mixture(kind="equal"), 75, 0)
    of_small = Counter(one.index for one in drawn if one.task == "small")
    assert sorted(of_small.values()) == [2] * 5 + [3] * 5
    assert max(Counter(one.index for one in drawn if one.task == "large").values()) == 1


def test_what_is_drawn_again_comes_under_the_next_template() -> None:
    drawn = draw({"a": 20}, {"a": 3}, Mixture(), 60, 0)
    for index in range(20):
        mine = sorted((one for one in drawn if one.index == index), key=lambda one: one.repeat)
        assert [(one.template - mine[0].template) % 3 for one in mine] == [0, 1, 2]
    assert len({one.template for one in drawn if one.repeat == 0}) == 3


def test_what_was_seen_is_counted() -> None:
    drawn = [MixtureSample("a", 0, 0, 0), MixtureSample("b", 1, 1, 0), MixtureSample("a", 0, 1, 1)]
    names = {"a": ["plain", "brief"], "b": ["own", "other"]}
    found = mixture_record(drawn, [(10, 2), (7, 1), (12, 2)], {"a": 1, "b": 4}, names, Mixture(kind="equal")).tasks
    assert found["a"].as_json() == {
        "available": 1, "rate": 0.5, "drawn": 2, "distinct": 1, "passes": 2.0, "tokens": 22, "supervised_tokens": 4,
        "templates": {"plain": 1, "brief": 1},
    }  # fmt: skip
    assert (found["b"].drawn, found["b"].passes, found["b"].templates) == (1, 0.25, {"own": 0, "other": 1})


@pytest.mark.parametrize(
    "given, said",
    [
        ({"kind": "equal", "cap": 5}, "a cap changes nothing"),
        ({"temperature": 2.0}, "a temperature belongs to"),
        ({"kind": "temperature"}, "a temperature belongs to"),
        ({"kind": "temperature", "temperature": 0.5}, "temperature"),
        ({"kind": "random"}, "proportional"),
        ({"templates": 0}, "templates"),
    ],
)
def test_what_makes_no_mixture_is_refused_in_a_sentence(given: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings_from(Mixture, given, "multitask")
