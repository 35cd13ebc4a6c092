"""scale fit and scale plan through the command line: files, words, intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from luthier.results.scaling_record import LawRecord, Ranged
from luthier.scratch.repeated import half_lives
from luthier.scratch.scale import as_tested, fit_points, law_in, law_words, plan
from tests.commands import one_sentence
from tests.scratch.test_law_fit import TRUE, synthetic
from tests.scratch.test_repeated import with_repeats


@pytest.fixture(scope="module")
def points_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    points = synthetic(0.01, count=30)
    path = tmp_path_factory.mktemp("points") / "points.csv"
    rows = zip(points.parameters_n, points.tokens_n, points.losses_n, points.runs, strict=True)
    path.write_text("parameters,tokens,loss,run\n" + "".join(f"{n},{d},{loss},{run}\n" for n, d, loss, run in rows))
    return path


@pytest.fixture(scope="module")
def law(points_file: Path) -> Path:
    fit_points(points_file, points_file.parent / "law", resamples=40)
    return points_file.parent / "law"


def test_a_fit_writes_its_record_figures_and_page(law: Path) -> None:
    record = LawRecord.read(law)
    assert record.points == 30 and record.runs == 30 and record.gradient < 1e-9
    assert law_in(record).alpha == pytest.approx(TRUE.alpha, abs=0.15)
    assert record.width is not None and [row.quantile for row in record.backtests] == [0.4, 0.5, 0.6, 0.7, 0.8]
    page = (law / "scale.html").read_text()
    assert page.count("<svg") == 3 and "<script" not in page and "approach 2" in page
    for figure in ("loss", "backtest", "optimum"):
        assert (law / f"{figure}.svg").read_text().startswith("<svg ")


def test_a_law_without_a_floor_says_so(law: Path) -> None:
    record = LawRecord.read(law)
    none = record.parameters.model_copy(update={"e": Ranged(value=1e-11, low=1e-11, high=2e-11)})
    said = [" ".join(law_words(record.model_copy(update={"parameters": one}))) for one in (record.parameters, none)]
    assert ["E is at zero" in words for words in said] == [False, True]


def test_two_fits_write_the_same_bytes(points_file: Path, law: Path, tmp_path: Path) -> None:
    fit_points(points_file, tmp_path, resamples=40)
    for name in ("law.json", "scale.html"):
        assert (tmp_path / name).read_bytes() == (law / name).read_bytes()


def test_a_plan_has_all_laws_and_says_where_it_extrapolates(law: Path) -> None:
    far = plan(1e24, law)
    assert [row.law for row in far.rows][1:] == [
        "Hoffmann et al. 2022", "Kaplan et al. 2020", "Besiroglu et al. 2024", "Muennighoff et al. 2023",
    ]  # fmt: skip
    fitted = far.rows[0]
    assert fitted.intervals is not None and set(fitted.intervals) == {
        "parameters", "tokens", "tokens_a_parameter", "loss",
    }  # fmt: skip
    for key, one in fitted.intervals.items():
        assert one.low <= one.high and one.value == getattr(fitted, key)
    assert "this is an extrapolation" in far.words[0]
    record = LawRecord.read(law)
    inside = plan(record.flops.most * 0.9, law)
    assert not any("extrapolation" in word for word in inside.words)


def test_the_interval_of_a_loss_grows_with_the_distance(law: Path) -> None:
    record = LawRecord.read(law)
    loss, _, high = as_tested(record).interval(*law_in(record).optimum(np.array([1e19, 1e23])))
    assert high[1] / loss[1] > high[0] / loss[0] > 1


def test_intervals_are_at_the_level_of_the_file(law: Path) -> None:
    record = LawRecord.read(law)
    at = law_in(record).optimum(np.array([1e19]))
    _, low, high = as_tested(record).interval(*at)
    _, less_low, less_high = as_tested(record.model_copy(update={"level": 0.5})).interval(*at)
    assert low < less_low < less_high < high


def test_the_half_lives_are_those_of_the_law_beside_them(tmp_path: Path) -> None:
    points = with_repeats(noise=0.02)
    arrays = points.parameters_n, points.tokens_n, points.losses_n, points.unique_n
    rows = [",".join(repr(float(one)) for one in row) for row in zip(*arrays, strict=True)]
    (tmp_path / "points.csv").write_text("parameters,tokens,loss,unique_tokens\n" + "\n".join(rows) + "\n")
    record = fit_points(tmp_path / "points.csv", tmp_path / "law", resamples=20, seed=3)
    found = half_lives(law_in(record), points.where(points.repeated_n), delta=record.delta)
    assert record.repeated is not None
    assert (record.repeated.r_d, record.repeated.r_n) == (found.r_d, found.r_n)
    assert record.points == 20 and record.repeated_points == 12


def test_the_verbs_print_tables_and_json(points_file: Path, tmp_path: Path, luthier_says) -> None:
    out = tmp_path / "law"
    said = luthier_says("scale", "fit", points_file, "--out", out, "--resamples", 20)
    assert said.code == 0 and "N_opt exponent" in said.out and str(out / "scale.html") in said.out.replace("\n", "")
    said = luthier_says("scale", "plan", "--flops", "1e21", "--law", out, "--json")
    assert json.loads(said.out)["rows"][0]["law"] == "fitted to points.csv"
    said = luthier_says("scale", "plan", "--flops", "1e21")
    assert "Kaplan et al. 2020" in said.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("scale", "fit", "nothing.csv"),
        ("scale", "plan", "--flops", "-1"),
        ("scale", "plan", "--flops", "1e21", "--law", "nowhere"),
        ("scale", "plan", "--flops", "nan"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], luthier_says) -> None:
    said = luthier_says(*arguments)
    assert said.code == 2
    one_sentence(said.err)


def test_the_page_of_runs_that_were_left_out_names_them(points_file: Path, tmp_path: Path, luthier_says) -> None:
    said = luthier_says("scale", "fit", points_file, "--out", tmp_path, "--resamples", 20, "--without", "7")
    assert "1 point was left out: row 8 (7): it was named with --without." in said.out.replace("\n", " ")
