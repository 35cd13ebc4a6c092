"""What finished arms teach: the factor and its interval, what it holds for, and a file that many processes write."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from luthier import machine
from luthier.errors import FolderError
from luthier.planning import seconds
from luthier.planning.devices import BlockTime, ProductRate, Rates, device, of_rates, processor
from luthier.planning.learned import (
    FAR,
    KINDS,
    LATEST,
    MOST,
    SPREAD,
    Kind,
    Learned,
    Lesson,
    Phase,
    Sort,
    kind_of,
    lesson,
)
from luthier.planning.lengths import Lengths
from luthier.planning.lessons import basis_of, forget, learn, learned, learned_here, with_lessons
from luthier.planning.moving import NOTHING, moving
from luthier.planning.plan import PlannedArm, plan_arm
from luthier.planning.read import shape_of
from luthier.planning.seconds import answering_work, update_of
from luthier.planning.terms import Setting
from luthier.planning.words import expected, why_taught
from luthier.results.plan_record import Taught

LORA = SimpleNamespace(rank=16, targets="all-linear")
SIZE = 134_515_008


def sort(phase: Phase = "training", kind: Kind = "lora", precision: str = "bf16", size: int = SIZE) -> Sort:
    return Sort(phase, precision, "decoder", kind, size)


def said(ratio: float, of: Sort | None = None, weight: float = 1.0, basis: str = "here") -> Lesson:
    of = of or sort()
    return Lesson(
        basis=basis, phase=of.phase, precision=of.precision, family=of.family, kind=of.kind, parameters=of.parameters,
        by_rates=10.0, measured=10.0 * ratio, weight=weight,
    )  # fmt: skip


def factor(*lessons: Lesson, of: Sort | None = None) -> Taught:
    found = Learned(format=1, lessons=lessons).taught(of or sort(), 100.0)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    return tmp_path


# ---------------------------------------------------------------------------------------------------------- factor


def test_without_lessons_nothing_is_taught() -> None:
    assert Learned(format=1).taught(sort(), 5.0) is None


def test_one_lesson_is_believed_for_the_most_part_and_many_for_good() -> None:
    one = factor(said(1.5))
    prior = 1 / (FAR**2 + KINDS**2)
    assert math.log(one.factor) == pytest.approx(math.log(1.5) * 25 / (25 + prior), abs=1e-3)
    assert one.seconds == pytest.approx(100 * one.factor, abs=0.01) and one.arms == 1
    half = factor(said(1.5, weight=0.5))
    many = factor(*[said(1.5)] * LATEST)
    assert 1 < half.factor < one.factor < many.factor < 1.5 and many.factor > 1.49
    assert half.low < one.low < many.low < many.factor < many.high < one.high


def test_a_disturbed_arm_moves_little() -> None:
    usual = [said(ratio) for ratio in (1.3, 1.32, 1.34, 1.36, 1.38)]
    assert factor(*usual, said(9.0)).factor == pytest.approx(factor(*usual).factor, rel=0.03)


def test_the_median_goes_by_weights_and_stands_between_two_halves() -> None:
    assert factor(*[said(1.2), said(1.8)] * 50).factor == pytest.approx(math.sqrt(1.2 * 1.8), rel=0.01)
    assert factor(*[said(1.2, weight=0.1), said(1.8)] * 50).factor == pytest.approx(1.8, rel=0.01)


def test_other_kinds_of_method_speak_where_the_own_kind_did_not() -> None:
    others = [said(1.5, sort(kind="weights"))] * 10
    only = factor(*others)
    assert 1.3 < only.factor < 1.5 and only.arms == 10
    agreed = factor(*others, *[said(1.5, sort(kind="added"))] * 10)
    assert only.factor < agreed.factor < 1.5
    both = factor(*others, *[said(1.2)] * 10)
    assert both.factor == pytest.approx(1.2, rel=0.05) and both.factor > 1.2  # its own kind says more
    assert (both.high - both.low) < (only.high - only.low)


@pytest.mark.parametrize(
    "of", [sort(phase="answering"), sort(precision="fp32"), sort(size=SIZE * 5), sort(size=SIZE // 5)]
)
def test_what_is_not_alike_teaches_nothing(of: Sort) -> None:
    assert Learned(format=1, lessons=(said(2.0, of),)).taught(sort(), 5.0) is None


def test_the_interval_holds_what_it_says_for_machines_drawn_as_assumed() -> None:
    """A machine, a kind of method and an arm are drawn; the interval of the next arm has to hold it 95 times in 100."""
    dice, inside, better, n = random.Random(5), 0, 0, 600
    for _ in range(n):
        far = dice.gauss(0, FAR)
        kinds: dict[Kind, float] = {kind: far + dice.gauss(0, KINDS) for kind in ("lora", "weights", "added")}
        lessons = [
            said(math.exp(kinds[kind] + dice.gauss(0, SPREAD)), sort(kind=kind))
            for kind in dice.choices(list(kinds), k=dice.choice((1, 2, 4, 9)))
        ]
        asked = dice.choice(list(kinds))
        truth = math.exp(kinds[asked] + dice.gauss(0, SPREAD))
        found = factor(*lessons, of=sort(kind=asked))
        inside += found.low <= truth <= found.high
        better += abs(math.log(truth / found.factor)) < abs(math.log(truth))
    assert 0.92 < inside / n <= 0.99
    assert better / n > 0.65


# --------------------------------------------------------------------------------------------------------- lessons


def test_short_phases_teach_nothing_and_longer_ones_more() -> None:
    assert lesson("b", sort(), 0.9, 5.0) is None and lesson("b", sort(), 5.0, 0.9) is None
    weights = [
        float(made.weight)
        for measured, steps in ((2.0, 1), (2.0, None), (10.0, 2), (10.0, None), (1000.0, 1000))
        if (made := lesson("b", sort(), 2.0, measured, steps))
    ]
    assert weights == [0.056, 0.167, 0.25, 0.5, 0.988]


def test_kinds_of_methods() -> None:
    shape = shape_of("smollm2-135m")
    found = {name: kind_of(moving(shape, name, settings)) for name, settings in (
        ("zero-shot", None), ("full", None), ("lora", LORA), ("ia3", SimpleNamespace(outputs=None, inputs=None)),
        ("soft", SimpleNamespace(tokens=4)),
    )}  # fmt: skip
    assert found == {"zero-shot": "prompting", "full": "weights", "lora": "lora", "ia3": "added", "soft": "added"}
    narrow = Setting("bf16", width="int4")
    assert Sort.of("answering", shape, NOTHING, narrow).precision == "int4"
    assert Sort.of("training", shape, moving(shape, "lora", LORA), narrow).precision == "bf16"


def test_the_file_stays_small_and_keeps_the_newest() -> None:
    many = [said(1 + n / 1000) for n in range(LATEST + 7)]
    kept = Learned(format=1).with_more(many).with_more([said(3.0)])
    assert list(kept.lessons) == [*many[-LATEST + 1 :], said(3.0)]
    sizes = [said(2.0, sort(size=SIZE + n)) for n in range(MOST + 5)]
    assert list(Learned(format=1).with_more(sizes).lessons) == sizes[-MOST:]


# ----------------------------------------------------------------------------------------------------------- basis


def rates(**more: object) -> Rates:
    product = ProductRate(precision="bf16", rows=1024, weights=10**6, flops=4e11)
    given = {"processor": machine.processor().name, "threads": machine.threads(), "device": "cpu", "bandwidth": 3e10}
    return Rates.model_validate({"format": 1, "products": [product]} | given | more)


def test_other_rates_threads_processors_or_arithmetic_make_lessons_worthless(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = basis_of(processor())
    rates().write(cache)
    measured = basis_of(processor())
    assert basis_of(processor()) == measured != stated
    rates(bandwidth=3.1e10).write(cache)
    bases = {stated, measured, basis_of(processor())}
    rates().write(cache)
    for target, name, value in (
        (machine, "threads", lambda: 77),
        (seconds, "CROSSINGS", 5),
        (machine, "processor", lambda: machine.Processor("v", "another", (), 4)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            bases.add(basis_of(device("here")))
    # Another number of threads or processor has no measured rates, so these three are those of stated ones.
    assert len(bases) == 6
    learn([said(1.5, basis=measured), said(1.7, basis=stated)])
    assert learned_here() == (Learned(format=1, lessons=(said(1.5, basis=measured),)), 1)


def test_a_plan_here_is_multiplied_and_keeps_what_rates_say(cache: Path) -> None:
    shape, lengths = shape_of("smollm2-135m"), Lengths.alike(300, 40, 8)
    arm = PlannedArm("lora", LORA, 8, None, 1.0, 1)

    def planned(name: str = "here", precision: str = "bf16"):  # type: ignore[no-untyped-def]
        return plan_arm(shape, arm, Setting(precision), lengths, with_lessons(device(name)))

    before = planned()
    learn([said(1.5, sort(kind="lora", size=shape.parameters), basis=basis_of(device("here")))] * 3)
    after = planned()
    assert before.training.taught is None and before.taught_words == "" and before.seconds_ends is None
    taught = after.training.taught
    assert taught is not None and taught.by_rates == before.training.seconds == after.training.seconds_by_rates
    assert after.training.seconds == taught.seconds == pytest.approx(before.training.seconds * taught.factor, abs=0.01)
    assert after.answering == before.answering and after.training.terms == before.training.terms
    low, high = after.seconds_ends
    assert low < after.seconds < high
    assert after.taught_words == f", times {taught.factor:.2f} (training) from 3 earlier arms on this machine"
    assert " to " in expected(after) and " to " not in expected(before)
    assert f"3 earlier arms on this machine: times {taught.factor:.2f}" in why_taught(taught)
    assert planned("laptop").training.taught is None and planned(precision="fp32").training.taught is None
    forget()
    assert planned() == before


def test_words_where_there_is_one_phase_and_where_two_are_taught_by_as_many() -> None:
    shape, lengths = shape_of("smollm2-135m"), Lengths.alike(300, 40, 8)
    basis = basis_of(device("here"))
    learn([said(1.3, sort("answering", "prompting", size=shape.parameters), basis=basis)])
    prompting = plan_arm(shape, PlannedArm("zero-shot", None), Setting("bf16"), lengths, with_lessons(device("here")))
    assert prompting.taught_words.endswith(" from 1 earlier arm on this machine")
    assert prompting.taught_words.startswith(", times 1.") and "(" not in prompting.taught_words
    learn([said(1.5, sort(size=shape.parameters), basis=basis)])
    lora = PlannedArm("lora", LORA, 8, None, 1.0, 1)
    both = plan_arm(shape, lora, Setting("bf16"), lengths, with_lessons(device("here"))).taught_words
    assert "(training) and 1." in both and both.endswith("(answering) from 1 earlier arm on this machine")


# -------------------------------------------------------------------------------------------------------- the file


def test_two_at_once_lose_nothing(cache: Path) -> None:
    code = (
        "import sys\nfrom luthier.planning.learned import Sort, lesson\nfrom luthier.planning.lessons import learn\n"
        "for n in range(4):\n"
        "    learn([lesson('b', Sort('training', 'bf16', 'decoder', 'lora', int(sys.argv[1]) + n), 10.0, 12.0)])\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(1000 * k)]) for k in range(1, 4)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert {one.parameters for one in learned().lessons} == {1000 * k + n for k in range(1, 4) for n in range(4)}
    assert learned() == Learned.read(cache)


def test_forgetting_needs_no_whole_file(cache: Path) -> None:
    assert not forget() and not (cache / "learned.json").exists()
    learn([said(1.2)])
    (cache / "learned.json").write_text("{")
    with pytest.raises(FolderError, match=r"learned\.json: this is not JSON.*luthier plan --forget"):
        learned()
    assert forget() and learned().lessons == ()


def test_a_user_without_a_place_for_a_cache_learns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", "~no-such-user-of-this-machine/cache")
    assert learned().lessons == () and with_lessons(device("here")).learned is None
    with pytest.raises(FolderError, match="no home folder"):
        learn([said(1.2)])


# -------------------------------------------------------------------------------------------- updates beside weights


def test_updates_that_stay_beside_the_weights_are_counted_where_they_do() -> None:
    """In bf16 LoRA answers with its updates beside the weights, in fp32 they are added to them."""
    shape, lora = shape_of("smollm2-135m"), moving(shape_of("smollm2-135m"), "lora", LORA)
    beside = update_of(shape, lora, Setting("bf16"))
    assert (beside.calls, beside.parameters) == (7 * 30, 4_884_480)
    assert beside.numbers == 4_884_480 // 16
    for moves, setting in ((lora, Setting("fp32")), (NOTHING, Setting("bf16")), (lora, Setting("bf16", width="int4"))):
        assert update_of(shape, moves, setting).calls == 0
    lengths = Lengths((), (), (100,) * 8, 20)
    seen = (
        BlockTime(precision="bf16", phase="adapted reading", units=1000, planned=1.0, measured=1.5),
        BlockTime(precision="bf16", phase="adapted writing", units=100, planned=1.0, measured=1.2),
    )
    of = [
        answering_work(shape, moves, Setting("bf16"), lengths.test, lengths, made)
        for made in (of_rates(rates()), of_rates(rates(blocks=seen)))
        for moves in (NOTHING, lora)
    ]
    plain, adapted, plain_seen, adapted_seen = of
    assert plain == plain_seen and adapted.flops - plain.flops == 2 * 4_884_480 * 8 * (100 + 20)
    more = 800 * beside.numbers * 0.0005 + 20 * beside.calls * 0.002
    assert adapted_seen.seconds - adapted.seconds == pytest.approx(more)
