"""Operations, seconds, what fits, prices, and the tokenizer without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from luthier.errors import ModelError, SettingsError
from luthier.files import cache_folder
from luthier.machine import describe
from luthier.planning import terms as planned_terms
from luthier.planning.budget import ANSWERS_16_BITS_BYTES, PROGRAM_BYTES, TRAINED_16_BITS_BYTES
from luthier.planning.devices import (
    DEVICES,
    SHARE,
    BlockTime,
    Device,
    ProductRate,
    Rates,
    device,
    of_rates,
    this_machine,
)
from luthier.planning.fits import MOST_ROWS, Question, fits
from luthier.planning.flops import Read, linear_parameters, reading_flops, training_flops
from luthier.planning.kept import kept
from luthier.planning.lengths import Lengths
from luthier.planning.moving import NOTHING, Moving, moving
from luthier.planning.passes import Pass, Rows, luthier_pass
from luthier.planning.plan import PlannedArm, plan_arm
from luthier.planning.prices import SHIPPED, Price, dollars, read_prices
from luthier.planning.read import shape_of
from luthier.planning.seconds import activation_numbers, answering_work, read_of, training_work
from luthier.planning.shape import Shape
from luthier.planning.terms import Setting, answering_terms, micro_batch, training_terms
from luthier.planning.tokenizer import LightTokenizer, special_tokens
from luthier.planning.words import duration, gigabytes, money, operations
from luthier.task.prompt import Renderer
from luthier.training.settings import Training
from tests import tiny

LORA = SimpleNamespace(rank=16, targets="all-linear")


def test_frozen_weights_cost_four_and_moving_ones_six() -> None:
    shape, read = shape_of("smollm2-135m"), Read(1000, 0, 100)
    n, head = linear_parameters(shape), 576 * 49_152
    full = training_flops(shape, moving(shape, "full", None), read)
    assert sum(full.values()) == 6 * n * 1000 + 6 * head * 100
    lora = training_flops(shape, moving(shape, "lora", LORA), read)
    # The input of the first query, key and value needs no gradient: nothing below them trains.
    unneeded = 576 * 576 + 2 * 576 * 192 + 3 * 16 * 576
    expected = (4 * n + 6 * 4_884_480 - 2 * unneeded) * 1000 + 4 * head * 100
    assert sum(lora.values()) == expected
    assert sum(training_flops(shape, NOTHING, read).values()) < 2 * n * 1000 + 4 * head * 100


def test_a_head_on_a_frozen_body_has_no_backward_pass_below() -> None:
    shape = shape_of("bert-base-uncased")
    read = Read(1000, 0, 10)
    found = training_flops(shape, moving(shape, "head", None), read)
    assert found["frozen weights"] == 2 * 1000 * sum(
        one.weights for block in shape.blocks for one in block.layers if one.is_linear
    )


def test_a_second_base_reads_what_is_trained_on_and_general_rows_are_rows() -> None:
    shape, lengths = shape_of("smollm2-135m"), Lengths.alike(300, 40, 20)
    lora, training = moving(shape, "lora", LORA), Training(kl=0.1, replay=0.5, epochs=1)
    how, device = luthier_pass(shape, lora, "fp32", "cpu"), DEVICES["laptop"]

    def flops(setting: Setting, of: Lengths) -> int:
        return training_work(shape, lora, setting, of, device, 1.0, how).flops

    plain = flops(Setting("fp32"), lengths)
    read = Read(20 * 300, 20 * 300 * 301 // 2, 20 * 40)
    assert flops(Setting("fp32", kl=True), lengths) == plain + reading_flops(shape, read, 20 * 40)
    more = lengths.with_general(lengths.train[: training.replayed(20)])
    assert flops(Setting("fp32"), more) == 2 * plain
    assert lengths.with_general([(9, 1)] * 9).mean_answer == lengths.mean_answer
    of = [PlannedArm.of("lora", LORA, one, 20) for one in (training, Training(epochs=1))]
    kl, alone = (plan_arm(shape, one, Setting("fp32"), lengths, device).training for one in of)
    assert kl.peak_bytes > alone.peak_bytes + 4 * shape.parameters and kl.seconds > alone.seconds


def test_recomputation_reads_the_blocks_again() -> None:
    shape, read = shape_of("smollm2-135m"), Read(1000, 500_000, 100)
    full = moving(shape, "full", None)
    once, twice = (sum(training_flops(shape, full, read, again).values()) for again in (False, True))
    attention = 30 * 2 * 500_000 * 9 * (64 + 64)  # of 9 heads of width 64 in 30 blocks: q k^T, and the sum over v
    assert twice - once == 2 * linear_parameters(shape) * 1000 + attention
    assert reading_flops(shape, read) == twice - once


def test_time_follows_the_slower_of_rate_and_bandwidth() -> None:
    shape, lengths = shape_of("smollm2-135m"), Lengths.alike(300, 40, 20)
    setting, lora = Setting("fp32"), moving(shape, "lora", LORA)
    slow = DEVICES["laptop"]
    fast = replace(slow, flops={"fp32": 2 * slow.flops["fp32"]})
    for one in (slow, fast):
        assert one.rate("fp32") == SHARE["cpu"] * one.flops["fp32"]
    work = [
        training_work(shape, lora, setting, lengths, one, 2.0, luthier_pass(shape, lora, "fp32", "cpu"))
        for one in (slow, fast)
    ]
    assert work[0].flops == work[1].flops and work[1].seconds < work[0].seconds
    starved = replace(slow, bandwidth=slow.bandwidth / 1000)
    answered = [answering_work(shape, lora, setting, lengths.test, lengths, one).seconds for one in (slow, starved)]
    assert answered[1] > 100 * answered[0]
    assert answering_work(shape, lora, setting, (), lengths, slow).seconds == 0


def test_a_measured_rate_is_that_of_the_nearest_product() -> None:
    products = [ProductRate(precision="fp32", rows=r, weights=w, flops=r * w) for r in (8, 1024) for w in (1000, 10**6)]
    rates = Rates(format=1, processor="p", threads=1, device="cpu", bandwidth=1e9, products=products)
    assert rates.rate("fp32", 2000, 700) == 1024 * 1000
    assert rates.rate("fp32", 500_000, 10) == 8 * 10**6
    assert rates.rate("bf16", 500_000, 10) == 8 * 10**6  # a precision that was not measured
    with pytest.raises(SettingsError, match="device 'abacus' is not known; there are: here, laptop"):
        device("abacus")


def test_rates_count_for_the_device_and_the_threads_that_they_were_measured_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(kind: str, threads: int = 3) -> None:
        product = ProductRate(precision="fp32", rows=8, weights=1000, flops=7e9)
        here = str(describe("cpu")["processor"])
        rates = Rates(format=1, processor=here, threads=threads, device=kind, bandwidth=5e9, products=[product])
        cache_folder().mkdir(parents=True, exist_ok=True)
        rates.write(cache_folder())

    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert this_machine("cuda") is None and device("here").source == "stated"
    kept("cpu")
    assert this_machine("cuda") is None and device("here").rate("fp32") == 7e9
    assert this_machine("cpu") == device("here") and device("here").memory == describe("cpu")["memory_bytes"]
    kept("cpu", threads=2)
    assert device("here").source == "stated"
    kept("cuda", threads=2)
    gpu = this_machine("cuda")
    assert gpu is not None and (gpu.kind, gpu.source, gpu.bandwidth) == ("cuda", "measured", 5e9)
    assert device("here").source == "stated" and this_machine("mps") is None


def test_micro_batches_that_are_alike_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of a million rows is cut into a million of them, and a plan takes no minutes."""
    asked: list[Rows] = []

    def counted(shape: Shape, moves: Moving, rows: Rows, how: Pass) -> Counter[str]:
        asked.append(rows)
        return kept(shape, moves, rows, how)

    monkeypatch.setattr(planned_terms, "kept", counted)
    shape, lengths = shape_of("smollm2-135m"), Lengths.alike(2000, 80, 500)
    for bound in (None, 6e9):
        plan_arm(shape, PlannedArm("lora", LORA, 500), Setting("fp32", bound=bound), lengths, None)
    assert 0 < len(asked) < 20


def test_a_plan_refuses_a_bound_in_a_sentence() -> None:
    shape = shape_of("smollm2-135m")
    arm = PlannedArm("full", None)
    plan = plan_arm(shape, arm, Setting("fp32", bound=1e9), Lengths.alike(512, 80, 8), None)
    assert plan.training is None and plan.refused is not None and "the bound is 1.0 GB" in plan.refused
    roomy = plan_arm(shape, arm, Setting("fp32", bound=4.2e9), Lengths.alike(512, 80, 8), DEVICES["laptop"])
    assert roomy.recomputes and roomy.micro_tokens and roomy.seconds and roomy.peak_bytes < 4.3e9


@pytest.mark.parametrize(
    ("width", "linear"),
    # of each layer: queries and output 1,024 for 576, keys and values 512 for 192, gate and up, and down
    [(None, 30 * (2 * 1024 * 576 + 2 * 512 * 576 + 2 * 1536 * 576 + 1024 * 1536)), ("int8", 0)],
)
def test_laid_out_weights_fill_whole_blocks(width: str | None, linear: int) -> None:
    shape, lengths = shape_of("smollm2-135m"), Lengths((), (), (100,) * 48, 16)
    terms = answering_terms(shape, NOTHING, Setting("fp32", width=width), lengths)
    assert [one.bytes for one in terms if one.name == "laid-out weights"] == [4 * (linear + 49_152 * 576)]


def test_beams_and_samples_are_sequences_of_one_answer() -> None:
    """Four sequences for each of twelve answers are written as forty-eight answers are; prompts are read once."""
    shape, of = shape_of("smollm2-135m"), {n: Lengths.alike(300, 40, n) for n in (12, 48)}
    one = plan_arm(shape, PlannedArm("zero-shot", None), Setting("fp32"), of[48], DEVICES["laptop"])
    four = plan_arm(shape, PlannedArm("zero-shot", None, sequences=4), Setting("fp32"), of[12], DEVICES["laptop"])
    assert one.answering is not None and four.answering is not None
    terms = [{term.name: term.bytes for term in each.answering.terms} for each in (one, four)]  # type: ignore[union-attr]
    assert terms[0]["keys and values"] == terms[1]["keys and values"] and terms[0]["logits"] == terms[1]["logits"]
    assert four.answering.seconds and one.answering.seconds and four.answering.seconds < one.answering.seconds


# ------------------------------------------------------------------------------------------------------------ fits


def peak(question: Question) -> float | None:
    """A peak that falls with every change, but for a method that goes with 16 bits alone."""
    if question.method == "full" and question.bits not in ("32", "16"):
        return None
    fixed = {"32": 40, "16": 20, "8": 10, "4": 5}[question.bits] * (4 if question.method == "full" else 1)
    return fixed / question.devices + question.rows * question.tokens / 100 * (0.2 if question.recompute else 1)


def test_the_most_rows_the_widest_bits_and_the_cheapest_changes() -> None:
    asked = Question("16", 8, 500, False, "lora")  # 20 + 8 x 5
    found = fits(asked, 62, peak)
    assert found.fits and found.rows == 8 and found.bits == "16" and not found.changes
    found = fits(asked, 45, peak)
    assert not found.fits and found.rows == 5
    assert [(one.words, one.bytes) for one in found.changes] == [
        ("one row at a time", 25), ("compute the blocks again on the way back", 28), ("4 bits for frozen weights", 45),
    ]  # fmt: skip
    assert all(one.bytes <= 45 for one in found.changes)
    own = fits(Question("32", 8, 500, False, "full"), 130, peak).changes  # of full no weight is frozen
    assert ("16 bits for the weights", 120) in [(one.words, one.bytes) for one in own]


@pytest.mark.parametrize("power", [0.5, 1.0, 1.3])
@pytest.mark.parametrize("memory", [2.0, 5.0, 33.3, 80.0, 4100.0, 1e6])
def test_the_most_rows_whatever_way_a_peak_grows(power: float, memory: float) -> None:
    def grown(asked: Question) -> float:
        return 2 + asked.rows**power

    rows = fits(Question("16", 8, 500, False, "lora"), memory, grown).rows
    assert rows == max((n for n in range(1, MOST_ROWS + 1) if 2 + n**power <= memory), default=None)


def test_changes_together_where_none_is_enough() -> None:
    changes = fits(Question("16", 8, 500, False, "full"), 12, peak).changes
    assert changes[-1].bytes <= 12 < changes[0].bytes
    words = [one.words for one in changes]
    assert "one row at a time" in words and "lora instead of full" in words
    assert sum("bits" in one for one in words) <= 1  # of two widths the narrower one stays
    assert fits(Question("16", 8, 500, False, "full"), 0.1, peak).changes == []
    assert fits(Question("16", 1, 1, False, "full"), 0.1, peak).rows is None


# ---------------------------------------------------------------------------------------------------------- prices


def test_every_shipped_price_has_a_date_and_a_source() -> None:
    prices = read_prices(SHIPPED)
    for price in prices.machines.values():
        assert price.device in DEVICES and len(price.date) == 7 and "https://" in price.source
        assert "not verified" not in price.source
    assert dollars(1800, prices.machines["ec2 g5.xlarge"]) == pytest.approx(0.503)
    assert sorted(prices.of_device("a10g")) == ["ec2 g5.xlarge", "sagemaker ml.g5.xlarge"]


def test_machines_are_rented_whole() -> None:
    eight = Price(device="h100", devices=8, dollars=40.0, date="2026-01", source="an offer")
    assert [dollars(3600, eight, devices) for devices in (1, 8, 9, 16)] == [40, 40, 80, 80]


def test_a_wrong_price_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "price.toml"
    good = '["my machine"]\ndevice = "T4"\ndollars = 1.0\ndate = "2026-01"\nsource = "an offer"\n'
    for text in (good, "\ufeff" + good):  # some editors begin a file with a mark
        own.write_text(text, encoding="utf-8")
        assert list(read_prices().of_device("t4")) == ["my machine"]
    own.write_text('["my machine"]\ndevice = "t4"\n')
    with pytest.raises(SettingsError, match=r"price.toml: \[my machine\]: the key 'dollars' is missing"):
        read_prices()
    row = {"device": '"t4"', "dollars": "1.0", "date": '"2026-01"', "source": '"an offer"'}
    for key, value, says in (
        (
            "device",
            '"abacus"',
            r"price.toml: \[m\]: 'abacus' is no device of the table; there are: here, laptop.*'device'",
        ),
        (
            "date",
            '"last week"',
            r"price.toml: \[m\]: 'last week' is no month; write one such as 2025-01 \(key 'date'\)",
        ),
        ("date", "2026-01-01", r"\[m\]: the key 'date' is datetime"),
        ("source", '""', r"\[m\]: the key 'source' is ''"),
        ("dollars", "1e300", r"\[m\]: the key 'dollars' is 1e\+300; it should be less than"),
        ("devices", "0", r"\[m\]: the key 'devices' is 0"),
    ):
        own.write_text("[m]\n" + "".join(f"{one} = {text}\n" for one, text in (row | {key: value}).items()))
        with pytest.raises(SettingsError, match=says):
            read_prices()
    own.write_text("m = 1.0\n")
    with pytest.raises(SettingsError, match=r"price.toml: 'm' is no table; write \[m\]"):
        read_prices()
    own.write_text("[")
    with pytest.raises(SettingsError, match="this is not TOML"):
        read_prices()
    with pytest.raises(SettingsError, match="cannot be read"):
        read_prices(tmp_path / "none.toml")


# ------------------------------------------------------------------------------------------------------- tokenizer


@pytest.mark.parametrize("kind", [*tiny.KINDS, "bert"])
def test_the_light_tokenizer_renders_as_the_real_one(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    light = LightTokenizer(tiny_folder(kind))
    ours = Renderer(light, model.family, model.renderer.window, model.labels)
    assert set(light.all_special_tokens) == set(model.tokenizer.all_special_tokens)
    assert len(special_tokens(tiny_folder(kind))) == len(set(model.tokenizer.all_special_ids))
    assert len(light) == len(model.tokenizer) and light.eos_token_id == model.tokenizer.eos_token_id
    for example in tiny.examples(6) if model.family != "encoder" else tiny.labelled(6):
        theirs = model.renderer.prompt(example, tiny.PLAIN, train=True)
        assert ours.prompt(example, tiny.PLAIN, train=True) == theirs


def test_a_folder_without_a_tokenizer_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no tokenizer\.json; give --tokens instead of --task"):
        LightTokenizer(tmp_path)


def test_numbers_as_people_read_them() -> None:
    assert (gigabytes(1.234e9), gigabytes(4e6)) == ("1.23 GB", "4.0 MB")
    assert (operations(3.4e12), operations(2e6)) == ("3.4 TFLOP", "2.0 MFLOP")
    assert [duration(s) for s in (None, 0.32, 40, 720, 11_000)] == ["-", "0.3 s", "40 s", "12 min", "3.1 h"]
    assert [money(one) for one in (1234.5, 0.01, 0.004)] == ["$1,234.50", "$0.01", "under $0.01"]


def test_what_blocks_took_beside_products_is_added_once_for_each_unit() -> None:
    """A probe of the model itself says the seconds of that work again."""
    shape, setting = shape_of("smollm2-135m"), Setting("bf16", batch_size=8)
    lengths = Lengths(((200, 30),) * 16, (), (180,) * 8, 20)
    moves, how = moving(shape, "full", None), luthier_pass(shape, moving(shape, "full", None), "bf16", "cpu")

    def rates(*blocks: BlockTime) -> Rates:
        product = ProductRate(precision="bf16", rows=1024, weights=10**6, flops=4e11)
        return Rates(
            format=1, processor="one", threads=2, device="cpu", bandwidth=3e10, products=[product], blocks=blocks
        )

    def trained(device: Device) -> float:
        return training_work(shape, moves, setting, lengths, device, 1.0, how).seconds

    plain = of_rates(rates())
    planned = trained(plain)
    units = activation_numbers(shape, read_of(shape, lengths.train))
    assert units == 16 * 230 * 30 * (8 * 576 + 3 * 1536)
    seen = BlockTime(precision="bf16", phase="training", units=units, planned=planned, measured=1.5 * planned)
    assert trained(of_rates(rates(seen))) == pytest.approx(1.5 * planned)
    faster = seen.model_copy(update={"measured": 0.5 * planned})  # products never get faster by what stands beside
    assert trained(of_rates(rates(faster))) == planned
    call = BlockTime(precision="bf16", phase="writing", units=10, planned=0.0, measured=0.01)
    before, after = (
        answering_work(shape, NOTHING, setting, lengths.test, lengths, one).seconds
        for one in (plain, of_rates(rates(call)))
    )
    assert after - before == pytest.approx(20 * 30 * 0.001)


def test_best_values_stand_beside_from_a_second_evaluation_on_and_training_in_16_bits_leaves_something() -> None:
    shape = shape_of("smollm2-135m")
    full, lengths = moving(shape, "full", None), Lengths(((200, 30),) * 8, (200,), (200,) * 8, 20)

    def named(precision: str, evaluations: int) -> dict[str, float]:
        setting = Setting(precision, evaluations=evaluations)
        return {term.name: term.bytes for term in training_terms(shape, full, setting, lengths)}

    assert "best values so far" not in named("fp32", 1)
    assert named("fp32", 2)["best values so far"] == 4 * shape.parameters
    bound = 6e9  # which does not know how many there will be
    batches = {micro_batch(shape, full, Setting("fp32", bound=bound, evaluations=n), lengths) for n in (1, 2)}
    assert len(batches) == 1
    left = named("bf16", 1)["program"] - named("fp32", 1)["program"]
    assert left == TRAINED_16_BITS_BYTES
    for moves, more in ((full, ANSWERS_16_BITS_BYTES), (NOTHING, 0)):
        terms = {term.name: term.bytes for term in answering_terms(shape, moves, Setting("bf16"), lengths)}
        assert terms["program"] == PROGRAM_BYTES + more
