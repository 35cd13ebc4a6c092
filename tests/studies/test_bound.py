"""A finished study under attack: what was measured is what answers, and nothing is written or read through a link."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from luthier import machine
from luthier.arms.ask import ask, ask_probabilities
from luthier.arms.shipped import load_arm
from luthier.errors import FolderError, LuthierError, ModelError, SettingsError, TaskError
from luthier.files import read_json, read_lines, sha256_of, write_json, write_lines
from luthier.reports.write import report
from luthier.results.folder import StudyFolder
from luthier.results.resume import locked_study
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from luthier.studies.study import study
from tests.results.damage import damages
from tests.studies.test_study import make_task

ARMS = "few-shot-2,lora-r4,full,zero-shot@int4"
LINK = "is a symbolic link, and links inside a study are not followed"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_folder) -> Path:
    """A tiny model of this file's own, because some tests damage it."""
    return Path(shutil.copytree(tiny_folder("decoder-chat"), tmp_path_factory.mktemp("base") / "model"))


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = make_task(tmp_path_factory.mktemp("task"), test=6)
    return study(task, model=str(base), arms=ARMS, out=tmp_path_factory.mktemp("study") / "out")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "study"))


def link(path: Path, elsewhere: Path) -> None:
    """Puts a link in the place of a file or a folder; what was there is what it leads to."""
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


# ------------------------------------------------------------------------------------------------------------ links


def test_a_study_with_a_link_anywhere_inside_is_not_gone_on_with(copy: Path, tmp_path: Path) -> None:
    paths = [path.relative_to(copy) for path in sorted(copy.rglob("*"))]
    assert len(paths) > 50
    for path in paths:
        link(copy / path, tmp_path / "elsewhere")
        with pytest.raises(FolderError, match=LINK):
            locked_study(StudyFolder(copy), StudyRecord)
        (copy / path).unlink()
        (tmp_path / "elsewhere").rename(copy / path)
    locked_study(StudyFolder(copy), StudyRecord)


@pytest.mark.parametrize("name", ["study.json", "compare.json", "cost.json", "examples.jsonl", "report.md", "arms"])
def test_a_report_reads_and_writes_no_link(name: str, copy: Path, tmp_path: Path) -> None:
    link(copy / name, tmp_path / "elsewhere")
    with pytest.raises(FolderError, match=LINK):
        report(copy)


def test_a_log_that_is_a_link_is_left_alone(copy: Path, tmp_path: Path) -> None:
    link(copy / "log.jsonl", tmp_path / "foreign")
    before = (tmp_path / "foreign").read_bytes()
    with pytest.raises(FolderError, match=LINK):
        StudyFolder(copy).log("done")
    assert (tmp_path / "foreign").read_bytes() == before


def test_the_study_s_own_folder_may_be_a_link(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(copy)
    assert report(tmp_path / "link")
    with locked_study(StudyFolder(tmp_path / "link"), StudyRecord):
        StudyFolder(tmp_path / "link").log("done")


@pytest.mark.parametrize("weights", ["../../zero-shot", "/etc", "", ".", "adapter/../../full/weights", "tune"])
def test_weights_lie_in_a_folder_that_luthier_makes(weights: str, copy: Path) -> None:
    note = copy / "arms" / "lora-r4" / "luthier.json"
    write_json(note, read_json(note) | {"weights": weights})
    with pytest.raises(
        FolderError, match=r"luthier\.json: the key 'weights' is '.*' or 'quantized'; make the arm again"
    ):
        load_arm(note.parent)


# ------------------------------------------------------------------------------------------------- what was measured


def edit(**changes: Any) -> Callable[[Path], None]:
    """Changes keys of a JSON file."""

    def edited(path: Path) -> None:
        write_json(path, read_json(path) | changes)

    return edited


def random_weights(path: Path) -> None:
    """Other tensors of the same names, shapes and types."""
    save_file({name: torch.randn(one.shape).to(one.dtype) for name, one in load_file(path).items()}, path)


def permuted_vocabulary(path: Path) -> None:
    told = read_json(path)
    words = told["model"]["vocab"]
    told["model"]["vocab"] = dict(zip(words, [*words.values()][::-1], strict=True))
    write_json(path, told)


def pickled(path: Path) -> None:
    torch.save({}, path)


def pickled_instead(path: Path) -> None:
    torch.save(load_file(path), path.with_name("adapter_model.bin"))
    path.unlink()


def with_a_stated_hash(path: Path) -> None:
    """Other weights beside a file that says they are the old ones."""
    told = {"weights_sha256": sha256_of(path), "gguf_sha256": "0"}
    random_weights(path)
    write_json(path.parent / "luthier-source.json", told)


CHANGED, MORE = "is not the file that was measured", "was not there when this was measured"
LORA, NARROW, FULL = "arms/lora-r4/", "arms/zero-shot@int4/", "arms/full/"
ATTACKS: dict[str, tuple[str, str, Callable[[Path], None], str]] = {
    "another alpha": ("lora-r4", LORA + "adapter/adapter_config.json", edit(lora_alpha=1e6), CHANGED),
    "another limit": (
        "few-shot-2", "arms/few-shot-2/luthier.json", edit(generation={"max_new_tokens": 1}), "was changed since",
    ),
    "random adapter": ("lora-r4", LORA + "adapter/adapter_model.safetensors", random_weights, CHANGED),
    "random weights": ("full", FULL + "weights/model.safetensors", random_weights, CHANGED),
    "another config of an arm": ("full", FULL + "weights/config.json", edit(rms_norm_eps=0.5), CHANGED),
    "random narrow weights": (
        "zero-shot@int4", NARROW + "quantized/model.safetensors", lambda path: path.write_bytes(b"x"), CHANGED,
    ),
    "another narrow vocabulary": (
        "zero-shot@int4", NARROW + "quantized/tokenizer.json", permuted_vocabulary, CHANGED,
    ),
    "a pickle beside": ("lora-r4", LORA + "adapter/adapter_model.bin", pickled, "is a pickle"),
    "a pickle instead": ("lora-r4", LORA + "adapter/adapter_model.safetensors", pickled_instead, "is a pickle"),
    "no adapter": ("lora-r4", LORA + "adapter/adapter_model.safetensors", Path.unlink, "is not there"),
    "a file more": ("full", FULL + "weights/adapter_config.json", lambda path: write_json(path, {}), MORE),
    "other base weights": ("lora-r4", "base/model.safetensors", random_weights, "made on another"),
    "a stated hash": ("lora-r4", "base/model.safetensors", with_a_stated_hash, "made on another"),
    "another base config": ("lora-r4", "base/config.json", edit(rms_norm_eps=0.5), CHANGED),
    "another end": ("zero-shot", "base/generation_config.json", edit(eos_token_id=7), CHANGED),
    "another vocabulary": ("few-shot-2", "base/tokenizer.json", permuted_vocabulary, CHANGED),
    "another chat template": (
        "zero-shot", "base/chat_template.jinja", lambda path: path.write_text("{{ messages }}"), CHANGED,
    ),
    "an adapter in the base": ("full", "base/adapter_config.json", lambda path: write_json(path, {}), MORE),
}  # fmt: skip


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """A folder that has its files again when the block ends, whatever happens to them."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    try:
        yield
    finally:
        for path in {path for path in folder.rglob("*") if path.is_file() and path not in before}:
            path.unlink()
        for path, content in before.items():
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)


def refused(place: Path) -> str:
    """The sentence that an arm is refused by."""
    with pytest.raises(LuthierError) as caught:
        load_arm(place)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_changed_after_the_measuring_does_not_answer(attack: str, base: Path, copy: Path) -> None:
    arm, name, change, sentence = ATTACKS[attack]
    path = base / name.removeprefix("base/") if name.startswith("base/") else copy / name
    with kept(base):
        change(path)
        said = refused(copy / "arms" / arm)
    assert sentence in said
    assert path.name in said or path.with_name("adapter_model.bin").name in said or "made on another" in said


def test_an_arm_answers_where_nothing_changed(finished: Path) -> None:
    for arm in ("few-shot-2", "lora-r4", "full", "zero-shot@int4", "zero-shot"):
        assert load_arm(finished / "arms" / arm).probes


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_file_that_decides_an_answer_may_change(base: Path, finished: Path, data: st.DataObject) -> None:
    """One byte flipped, one less, one more, or a file gone: of the arm's folder or of its base's."""
    arm, folder = data.draw(st.sampled_from([("lora-r4", "adapter"), ("full", "weights"), ("lora-r4", None)]))
    place = finished / "arms" / arm
    weights = place / folder if folder else base
    read = [path for path in sorted(weights.rglob("*")) if path.is_file() and path.suffix != ".md"]
    path = data.draw(st.sampled_from(read))
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    flipped = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    with kept(weights):
        changed = data.draw(st.sampled_from([flipped, content[:-1], content + b" ", None]))
        path.unlink() if changed is None else path.write_bytes(changed)
        said = refused(place)
    assert path.name in said or "made on another" in said


def test_no_field_of_the_note_may_change(finished: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(finished / "arms" / "few-shot-2", tmp_path / "few-shot-2"))
    note = read_json(place / ShippedNote.FILE)
    accepted, tried = [], 0
    for damage in damages(note):
        try:
            if json.loads(damage.content) == note:
                continue
        except (ValueError, RecursionError):
            pass
        tried += 1
        (place / ShippedNote.FILE).write_bytes(damage.content)
        try:
            load_arm(place)
        except LuthierError:
            continue
        accepted.append(damage)
    assert tried > 100 and not accepted


# ---------------------------------------------------------------------------------------------- a study that goes on

TASK = 'name = "tiny"\n[answer]\nmax_new_tokens = 12\n'
OTHER_TASKS = {
    "another limit": (TASK.replace("12", "11"), r"max_new_tokens changed from 12 to 11 since"),
    "another metric": (TASK + '[decide]\nmetric = "rouge2"\n', "the deciding metric changed from 'rouge1' to 'rouge2'"),
    "another margin": (TASK + "[decide]\nmargin = 0.3\n", r"the margin changed from 0\.\d+ to 0\.3 since"),
    "another seed of shots": (TASK + "[prompt]\nshot_seed = 3\n", "the seed of shots changed from 0 to 3 since"),
    "the best of several references": (
        TASK + '[decide]\nreferences = "max"\n',
        "what becomes of several references changed from 'mean' to 'max' since",
    ),
    "another template": (
        TASK + '[prompt.templates]\nplain = "Say: {input}"\n',
        r"the template '\w+' changed from '.*' to 'Say: \{input\}'",
    ),
}  # fmt: skip


@pytest.fixture
def asked(finished: Path, copy: Path, tmp_path: Path) -> dict[str, Any]:
    """The finished study's own arguments, on a copy of its folder and of its task."""
    spec = read_json(finished / "study.json")
    task = shutil.copytree(spec["task"]["folder"], tmp_path / "task")
    return {"task": task, "model": spec["model"]["name"], "arms": ARMS, "out": copy}


@pytest.mark.parametrize("other", OTHER_TASKS)
def test_a_study_goes_on_under_the_settings_it_began_with(other: str, asked: dict[str, Any]) -> None:
    text, sentence = OTHER_TASKS[other]
    (asked["task"] / "task.toml").write_text(text)
    before = {path: path.read_bytes() for path in asked["out"].rglob("*") if path.is_file()}
    with pytest.raises(TaskError, match=f"{sentence}.*; change it back, or start a new study with --out"):
        study(**asked | {"arms": ARMS + ",one-shot"})
    assert {path: path.read_bytes() for path in asked["out"].rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "name, change, sentence",
    [("model.safetensors", random_weights, "holds other weights"), ("config.json", edit(rms_norm_eps=0.5), CHANGED)],
)
def test_a_study_goes_on_with_the_bases_it_began_with(
    name: str, change: Callable[[Path], None], sentence: str, asked: dict[str, Any], base: Path
) -> None:
    with kept(base):
        change(base / name)
        with pytest.raises(ModelError, match=f"{sentence}.*; start a new study with --out"):
            study(**asked | {"arms": ARMS + ",one-shot"})


def test_a_study_goes_on_with_the_units_it_began_with(asked: dict[str, Any]) -> None:
    rows = read_lines(asked["task"] / "test.jsonl")
    write_lines(asked["task"] / "test.jsonl", [row | {"unit": "one dialogue"} for row in rows])
    with pytest.raises(TaskError, match=r"which test examples form a unit changed from 'equal inputs' to '[0-9a-f]+'"):
        study(**asked | {"arms": ARMS + ",one-shot"})
    out = study(**asked | {"arms": "copy-3", "out": asked["out"].with_name("other")})
    write_lines(asked["task"] / "test.jsonl", rows)
    with pytest.raises(TaskError, match=r"which test examples form a unit changed from '[0-9a-f]+' to 'equal inputs'"):
        study(**asked | {"arms": "copy-3,bare", "out": out})


def test_rules_of_a_task_are_kept_and_a_study_goes_on_with_them(asked: dict[str, Any]) -> None:
    text = TASK + '[prompt]\nshot_seed = 3\n[decide]\nreferences = "max"\n'
    (asked["task"] / "task.toml").write_text(text)
    asked |= {"arms": "copy-3", "out": asked["out"].with_name("other")}
    kept = read_json(study(**asked) / "study.json")["task"]
    assert (kept["shot_seed"], kept["references"], "units_sha256" in kept) == (3, "max", False)
    study(**asked | {"arms": "copy-3,bare"})


def test_other_versions_are_said_and_kept_in_the_report(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began = machine.versions()
    monkeypatch.setattr(machine, "versions", lambda: began | {"torch": "99.1", "luthier": "9.9"})
    versions = f"luthier {began['luthier']}, torch {began['torch']}"
    said = f"this study began with {versions} and goes on with luthier 9.9, torch 99.1"
    study(**asked)  # nothing is missing, so nothing is mixed
    assert said not in " ".join(capsys.readouterr().err.split())
    study(**asked | {"arms": ARMS + ",one-shot"})
    assert said in " ".join(capsys.readouterr().err.split())
    assert said in (asked["out"] / "report.md").read_text()
    study(**asked | {"arms": ARMS + ",one-shot,bare"})
    assert (asked["out"] / "report.md").read_text().count(said) == 1


def test_a_study_whose_folders_were_moved_goes_on(asked: dict[str, Any]) -> None:
    out, task = asked["out"].with_name("moved"), asked["task"].with_name("elsewhere")
    asked["out"].rename(out)
    asked["task"].rename(task)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name == "answers.jsonl"}
    study(**asked | {"out": out, "task": task, "arms": ARMS + ",one-shot"})
    assert (out / "arms" / "one-shot" / "arm.json").exists()
    assert {path: path.read_bytes() for path in before} == before


def test_a_study_goes_on_where_nothing_changed(asked: dict[str, Any]) -> None:
    study(**asked | {"arms": ARMS + ",one-shot"})
    assert (asked["out"] / "arms" / "one-shot" / "arm.json").exists()


def test_the_probes_are_asked_where_that_is_asked_for(base: Path, copy: Path) -> None:
    plain = "".join(ask(copy, "Anna: Monday is fine.", arm="lora-r4"))
    assert "".join(ask(copy, "Anna: Monday is fine.", arm="lora-r4", verify=True)) == plain
    place = copy / "arms" / "lora-r4"
    note = ShippedNote.read(place)
    note.probes[0].tokens[0] += 1
    note.sealed().write(place)
    assert "".join(ask(copy, "Anna: Monday is fine.", arm="lora-r4")) == plain
    for asked in (ask, ask_probabilities):
        with pytest.raises(ModelError, match=r"probe '.*' is answered differently here"):
            list(asked(copy, "Anna: Monday is fine.", arm="lora-r4", verify=True))
    with pytest.raises(SettingsError, match="is a model and no arm, so it has no probes to verify"):
        list(ask(base, "Anna: Monday is fine.", verify=True))
