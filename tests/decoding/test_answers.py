"""An arm answers by a text, by the likelihood of labels, or by a head; in a study of two models all of them stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from luthier.arms.ask import _label_record, ask, ask_probabilities
from luthier.arms.merge import merge_arm
from luthier.arms.resolve import resolve
from luthier.arms.shipped import load_arm, verify
from luthier.arms.short_form import name_of, parse
from luthier.arms.usual import with_baselines
from luthier.decoding.answers import asking, choose_labels, label_logprobs, refuse_same_labels
from luthier.errors import ModelError, SettingsError
from luthier.files import read_json, read_lines, write_json, write_lines
from luthier.rating.ballot import open_ballot
from luthier.records import Prompt
from luthier.studies.study import study
from luthier.task.task import load_task
from tests import tiny

Folders = Callable[[str], Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))


def labelled_model(folder: Path):
    return replace(tiny.fresh(folder), labels=tiny.LABELS)


@pytest.mark.parametrize("kind", ["decoder-chat", "gpt2", "t5-tied", "bart"])
def test_the_likelihood_of_a_label_is_that_of_its_tokens_and_its_end(kind: str, tiny_folder: Folders) -> None:
    """Each label read alone, the plain way; then a softmax over the labels."""
    model = labelled_model(tiny_folder(kind))
    prompts = [model.renderer.prompt(example, tiny.PLAIN, room=16) for example in tiny.examples(3)]
    for prompt, found in zip(prompts, label_logprobs(model, prompts), strict=True):
        targets = [tuple(model.renderer.target_ids(label)) for label in tiny.LABELS]
        with torch.no_grad():
            nats = [tiny.reference_loss(model.module, replace(prompt, target_ids=ids), model.family) for ids in targets]
        plain = torch.log_softmax(-torch.stack(nats).double(), 0)
        torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), plain, rtol=1e-4, atol=1e-4)
    answer = choose_labels(model, prompts[:1])[0]
    assert (answer.text in tiny.LABELS, answer.stop, answer.tokens) == (True, "chosen", ())


def test_the_likeliest_label_is_said_without_rivals_too(tiny_folder: Folders) -> None:
    model = labelled_model(tiny_folder("decoder-chat"))
    prompt = model.renderer.prompt(tiny.examples(1)[0], tiny.PLAIN, room=16)
    chosen = choose_labels(model, [prompt])[0].text
    assert _label_record(model, prompt, 0) == {"token": chosen, "candidates": []}
    assert _label_record(model, prompt, 2)["candidates"][0]["token"] == chosen


def test_labels_that_are_the_same_tokens_to_a_model_are_refused(tmp_path: Path) -> None:
    """A tokenizer that folds case, as many do: the first of the two would be chosen each time."""
    plain, folds = (tiny.save("decoder-chat", tmp_path / name) for name in ("plain", "folds"))
    refuse_same_labels(replace(tiny.fresh(plain), labels=("US", "us", "uk")))
    file = folds / "tokenizer.json"
    write_json(file, read_json(file) | {"normalizer": {"type": "Lowercase"}})
    with pytest.raises(ModelError, match="the labels 'US' and 'us' are the same tokens to this model"):
        refuse_same_labels(replace(tiny.fresh(folds), labels=("US", "uk", "us")))


@pytest.mark.parametrize(("kind", "batches"), [("decoder-chat", 1), ("t5-tied", 3)])
def test_shots_that_stand_in_memory_once_do_not_fill_a_batch(kind: str, batches: int, tiny_folder: Folders) -> None:
    """Of sixty rows behind the same thousand tokens a decoder holds their own; an encoder reads each of them whole."""
    model, shots = tiny.fresh(tiny_folder(kind)), (7,) * 1000
    prompts = [Prompt(id=f"p{n:02}", text="", prompt_ids=(*shots, 5 + n, 6)) for n in range(60)]
    assert len(asking(model, prompts, "generation", limit=1).batches) == batches


def test_the_same_prompts_make_the_same_batches(tiny_folder: Folders) -> None:
    model = labelled_model(tiny_folder("bert"))
    prompts = [model.renderer.prompt(example, tiny.PLAIN) for example in tiny.examples(9)]
    one, turned = (asking(model, some, "head", limit=1) for some in (prompts, prompts[::-1]))
    said = [{a.id: a.text for batch in each.batches for a in each.answer(batch)} for each in (one, turned)]
    assert said[0] == said[1] and len(said[0]) == 9
    assert model.renderer.room_for(5) == 0
    decoder = labelled_model(tiny_folder("decoder-chat"))
    assert decoder.renderer.room_for(1) == max(len(decoder.renderer.target_ids(label)) for label in tiny.LABELS)


# --- what fits what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task, model, arm, sentence",
    [
        ("dialogues", "decoder-chat", "majority", "majority answers labels, and this task has none"),
        ("dialogues", "decoder-chat", "lora+model={bert}", "is an encoder, which writes no text"),
        ("dialogues", "decoder-chat", "zero-shot+answer=generation", "'answer' says how labels are chosen"),
        ("dialogues:mood", "decoder-chat", "copy-3", "copy answers texts, and this task has labels"),
        ("dialogues:mood", "decoder-chat", "head", "head cannot be an arm of .*, a decoder; there are: bare, zero"),
        (
            "dialogues:mood",
            "bert",
            "zero-shot",
            "zero-shot cannot be an arm of .*, an encoder; there are: full, select",
        ),
        ("dialogues:mood", "bert", "lora@int4", "the weights of an encoder are not made int4 here"),
        ("dialogues:mood", "bert", "lora+kl=0.1", "an encoder writes no text, so it cannot have kl"),
        ("dialogues:mood", "bert", "head+replay=0.1", "an encoder writes no text, so it cannot have replay"),
        ("dialogues:mood", "bert", "lora+answer=generation", "an encoder answers by its head"),
        ("dialogues:mood", "bert", "lora+answer=guessing", "'answer' is 'guessing'; it should be 'likelihood' or"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(task, model, arm, sentence, tiny_folder: Folders) -> None:
    text = arm.format(bert=tiny_folder("bert"))
    with pytest.raises(SettingsError, match=sentence):
        resolve("x", parse(text), load_task(task), str(tiny_folder(model)))


def test_an_encoder_reads_the_bare_input_and_trains_longer(tiny_folder: Folders) -> None:
    task = load_task("dialogues:mood")
    encoder, decoder = (resolve("x", parse("lora"), task, str(tiny_folder(kind))) for kind in ("bert", "decoder-chat"))
    assert (encoder.template, encoder.answers_by, encoder.training.passes(144)) == ("bare", "head", 1200 / 144)
    assert (decoder.template, decoder.answers_by, decoder.training.passes(144)) == ("plain", "likelihood", 2.0)
    assert name_of("lora-r8+model=/a/b/bert+epochs=2") == "lora-r8+model=bert+epochs=2"
    assert name_of("lora+model=minilm") == "lora+model=minilm"
    named = {"nearest-5": parse("nearest-5")}
    assert list(with_baselines(named, task, str(tiny_folder("bert")))) == ["majority", "nearest-5"]
    assert list(with_baselines({}, task, str(tiny_folder("gpt2")))) == ["majority", "nearest", "zero-shot"]


# --- one study of two models --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Folders) -> Path:
    bert = tiny_folder("bert")
    arms = [
        "few-shot-2", "zero-shot+answer=generation", "lora-r4+epochs=1", f"head+model={bert}+epochs=2",
        f"lora-r4+model={bert}+epochs=1", f"full+model={bert}+epochs=1",
    ]  # fmt: skip
    out = tmp_path_factory.mktemp("classes") / "study"
    return study(
        "dialogues:mood", model=str(tiny_folder("decoder-chat")), arms=arms, train=16, dev=6, test=22, out=out,
        likelihood=True,
    )  # fmt: skip


@pytest.mark.slow
def test_all_ways_to_answer_stand_side_by_side(finished: Path) -> None:
    arms = {place.name: read_json(place / "arm.json") for place in (finished / "arms").iterdir()}
    assert {name: about["answers_by"] for name, about in arms.items()} == {
        "majority": "baseline", "nearest": "baseline", "zero-shot": "likelihood", "few-shot-2": "likelihood",
        "zero-shot+answer=generation": "generation", "lora-r4+epochs=1": "likelihood",
        "head+model=bert+epochs=2": "head", "lora-r4+model=bert+epochs=1": "head", "full+model=bert+epochs=1": "head",
    }  # fmt: skip
    compare, origin = read_json(finished / "compare.json"), read_json(finished / "study.json")
    assert set(compare["signatures"]) == {"accuracy", "macro_f1", "bits_per_character"}
    assert (origin["model"]["family"], [m["family"] for m in origin["models"].values()]) == ("decoder", ["encoder"])
    assert not (finished / "profile.json").exists()
    assert compare["arms"]["majority"]["accuracy"]["n"] == 22
    missing = compare["missing"]["head+model=bert+epochs=2"]["bits_per_character"]
    assert missing == {"an encoder gives texts no likelihood": 22}


def test_the_report_shows_a_matrix_for_each_arm_and_no_text_metrics(finished: Path) -> None:
    page, text = ((finished / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    assert page.count('class="confusion"') == 9
    for table in re.findall(r'<table class="confusion">.*?</table>', page, flags=re.DOTALL):
        head, *rows = (len(re.findall(r"<t[hd]", row)) for row in table.split("<tr>")[1:])
        assert rows == [head] * 4  # a cell for every column
    assert "the head of an encoder" in page and "rouge1" not in page
    assert "Facts the input does not hold" not in page and "Length and copying" not in page
    assert text.count("| label | annoyed | calm | friendly | worried | no label |") == 9
    assert "MB to ship counts the base model" in page


def test_the_base_counts_where_models_differ(finished: Path) -> None:
    from luthier.reports.read import read_study

    megabytes = {arm.name: arm.saved_megabytes for arm in read_study(finished).arms}
    assert megabytes["majority"] == 0
    assert megabytes["lora-r4+epochs=1"] > megabytes["zero-shot"] > 0
    assert megabytes["full+model=bert+epochs=1"] < 0.16  # its weights hold its base


@pytest.mark.parametrize("arm", ["head+model=bert+epochs=2", "lora-r4+model=bert+epochs=1", "full+model=bert+epochs=1",
                                 "lora-r4+epochs=1", "few-shot-2"])  # fmt: skip
def test_an_arm_is_asked_as_it_was_measured(arm: str, finished: Path) -> None:
    place = finished / "arms" / arm
    verify(load_arm(place))
    first = read_lines(finished / "examples.jsonl")[0]
    assert "".join(ask(finished, first["input"], arm=arm)) == read_lines(place / "answers.jsonl")[0]["text"]
    (record,) = ask_probabilities(finished, first["input"], arm=arm)
    assert sum(candidate["after"] for candidate in record["candidates"]) == pytest.approx(1)


def test_an_adapter_with_its_head_merges(finished: Path, tmp_path: Path) -> None:
    place = finished / "arms" / "lora-r4+model=bert+epochs=1"
    assert merge_arm(place, tmp_path / "plain")["differ"] == []
    assert read_json(tmp_path / "plain" / "config.json")["id2label"]["1"] == "calm"
    with pytest.raises(SettingsError, match="the weights of an encoder are not made int4 here"):
        merge_arm(place, tmp_path / "narrow", width="int4")


def test_a_killed_study_goes_on_to_the_same_answers(finished: Path, tmp_path: Path, tiny_folder: Folders) -> None:
    """A torn file of answers and an arm that was never begun: what is missing is done again, and nothing else."""
    import shutil

    again = tmp_path / "again"
    shutil.copytree(finished, again)
    (again / "compare.json").unlink()
    place = again / "arms" / "head+model=bert+epochs=2"
    (place / "arm.json").unlink()
    write_lines(place / "answers.jsonl", read_lines(place / "answers.jsonl")[:5])
    shutil.rmtree(again / "arms" / "lora-r4+model=bert+epochs=1")
    spec = read_json(finished / "study.json")["specification"]
    study("dialogues:mood", model=spec["model"], arms=["zero-shot"], train=16, dev=6, test=22, out=again,
          likelihood=True)  # fmt: skip
    for name in ("head+model=bert+epochs=2", "lora-r4+model=bert+epochs=1"):
        for file in ("answers.jsonl", "scores.jsonl", "arm.json"):
            assert (again / "arms" / name / file).read_bytes() == (finished / "arms" / name / file).read_bytes()
    assert read_json(again / "compare.json") == read_json(finished / "compare.json")


def test_a_sample_that_lacks_a_label_says_so(tiny_folder: Folders, tmp_path: Path) -> None:
    out = study("dialogues:kind", model=str(tiny_folder("decoder-chat")), arms=["majority"], train=6, dev=2, test=20,
                out=tmp_path / "few")  # fmt: skip
    found = read_json(out / "study.json")
    assert found["power"][0].startswith("20 test examples, 3 arms, 3 pairs on accuracy")
    assert re.match(r"The 6 train examples have no row of: \w+, ", found["power"][-1])


def test_there_is_nothing_to_rate(finished: Path) -> None:
    with pytest.raises(SettingsError, match="its answers are labels, right or wrong; there is nothing for people"):
        open_ballot(finished)
