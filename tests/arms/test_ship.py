"""A shipped folder: it answers as measured, says what is known, and shows whatever was changed in it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from luthier.arms import ship_push
from luthier.arms.ask import ask
from luthier.arms.merge import merge_arm
from luthier.arms.ship import evidence_of, ship
from luthier.arms.ship_page import modelfile
from luthier.arms.ship_push import push
from luthier.arms.ship_verify import verify
from luthier.arms.shipped import load_arm
from luthier.decoding.settings import Generation
from luthier.errors import FolderError, LuthierError, ModelError, SettingsError
from luthier.files import read_json, write_json
from luthier.results.comparison import Comparison
from luthier.results.evidence import Evidence, hashes_of, write_sums
from luthier.results.folder import StudyFolder
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from luthier.studies.study import study
from luthier.verdicts.compare import again
from tests.studies.test_study import make_task

ARM = "lora-r4"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    task, out = make_task(tmp_path_factory.mktemp("task"), test=12), tmp_path_factory.mktemp("study") / "out"
    defaults = {"epochs": 1, "evaluations": 1, "batch_size": 4}
    model = str(tiny_folder("decoder-chat"))
    return study(task, model=model, arms=["zero-shot", "soft", ARM], out=out, precision="fp32", defaults=defaults)


@pytest.fixture(scope="module")
def shipped(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shipped") / "mine"
    ship(finished, out, arm=ARM, gguf=["f16", "q8_0"], with_modelfile=True, force=True)
    return out


@pytest.fixture
def copy(shipped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped, tmp_path / "mine"))


# ------------------------------------------------------------------------------------------------- what is shipped


def test_a_shipped_folder_answers_as_the_study(shipped: Path, finished: Path) -> None:
    text = "Tom: Is Monday free?\nAnna: Yes."
    assert "".join(ask(shipped, text)) == "".join(ask(finished, text, arm=ARM))
    checked = verify(shipped, test=True)
    assert checked["arm"] == ARM and checked["answers"] == 12 and checked["differ"] == []
    assert checked["verdicts"] == len(Comparison.read(finished).deciding_pairs) + 2, "each export against the arm"


def test_the_hashes_are_those_of_sha256sum(shipped: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=shipped, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    named = {line.partition("  ")[2] for line in (shipped / "SHA256SUMS").read_text().splitlines()}
    assert named == {p.relative_to(shipped).as_posix() for p in shipped.rglob("*") if p.is_file()} - {"SHA256SUMS"}


def test_exports_have_verdicts_as_arms_beside_those_of_the_study(shipped: Path, finished: Path) -> None:
    evidence, inside = Evidence.read(shipped), StudyFolder(shipped / "evidence")
    assert [one.arm for one in evidence.exports] == [f"{ARM}@gguf-f16", f"{ARM}@gguf-q8_0"]
    names = [*Comparison.read(finished).arms, *(one.arm for one in evidence.exports)]
    compared = again(Comparison.read(finished), {name: inside.scores(name) for name in names})
    for one in evidence.exports:
        assert one.prompts_equal and one.answers == 12 and one.verdict
        pair = compared.pair(one.arm, ARM)
        assert (pair.verdict, pair.difference, pair.low, pair.high) == (one.verdict, one.difference, one.low, one.high)
        assert (shipped / one.file).stat().st_size == one.bytes
    f16 = evidence.exports[0]
    assert f16.same_answers >= 10 and f16.largest_distance < 0.05
    assert not any("@gguf" in path.name for path in (finished / "arms").iterdir()), "the study itself stays as it was"


def test_the_card_says_decision_numbers_and_what_was_not_checked(shipped: Path) -> None:
    from huggingface_hub import ModelCard

    evidence, page = Evidence.read(shipped), (shipped / "README.md").read_text(encoding="utf-8")
    assert evidence.decision in page and all(one in page for one in evidence.not_checked)
    assert f"{evidence.n} independent test units" in page
    for pair in evidence.pairs:
        assert f"| {pair.b} | {pair.difference:+.4f} |" in page
    assert ModelCard.load(shipped / "README.md").data.library_name == "peft"


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ({}, {"temperature": "0.0", "repeat_penalty": "1.0", "top_p": "1.0"}),
        ({"repetition_penalty": 1.2}, {"repeat_penalty": "1.2", "repeat_last_n": "-1"}),
        ({"temperature": 0.7}, {"temperature": "0.7", "top_k": "380"}),
        ({"temperature": 0.7, "top_k": 9}, {"temperature": "0.7", "top_k": "9"}),
    ],
)
def test_a_modelfile_leaves_no_setting_to_ollama(
    measured: dict[str, Any], said: dict[str, str], finished: Path
) -> None:
    """Which would draw among 40 tokens, and look 64 back for repetitions."""
    arm = replace(load_arm(finished / "arms" / ARM), generation=Generation(max_new_tokens=9, **measured))
    lines = [line.split() for line in modelfile(arm, "a.gguf").splitlines() if line.startswith("PARAMETER")]
    found = {name: value for _, name, value in lines}
    always = {"temperature", "num_predict", "num_ctx", "seed", "repeat_penalty", "top_p", "stop"}
    assert said.items() <= found.items() and found.keys() == always | said.keys()


def test_the_modelfile_holds_the_measured_prompt(shipped: Path, finished: Path) -> None:
    text, prompt = (shipped / "Modelfile").read_text(encoding="utf-8"), read_json(shipped / "prompt.json")
    note = read_json(shipped / "luthier.json")
    assert prompt["prompt_sha256"] == note["prompt_sha256"] and prompt["generation"] == note["generation"]
    template = text.partition('TEMPLATE """')[2].partition('"""')[0]
    assert template.replace("{{ .Prompt }}", "{input}") == prompt["prompt"]
    assert text.startswith(f"FROM ./gguf/{ARM}-q8_0.gguf\n") and "PARAMETER temperature 0.0\n" in text
    assert f"PARAMETER num_predict {note['generation']['max_new_tokens']}\n" in text
    first = json.loads((finished / "arms" / ARM / "prompts.jsonl").read_text().splitlines()[0])
    example = json.loads((finished / "examples.jsonl").read_text().splitlines()[0])
    assert prompt["prompt"].replace("{input}", example["input"]) == first["text"]


def test_the_adapter_loads_in_peft(shipped: Path, tiny_folder: Callable[[str], Path]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_folder("decoder-chat"), dtype=torch.float32)
    model = PeftModel.from_pretrained(base, shipped / "adapter").eval()
    for probe in read_json(shipped / "luthier.json")["probes"]:
        ids = torch.tensor([probe["prompt_ids"]])
        made = model.generate(input_ids=ids, max_new_tokens=len(probe["tokens"]), do_sample=False, pad_token_id=0)
        assert made[0, ids.shape[1] :].tolist() == probe["tokens"]


def test_a_shipped_folder_merges(shipped: Path, tmp_path: Path) -> None:
    assert merge_arm(shipped, tmp_path / "merged")["differ"] == []


def test_without_examples_no_text_of_the_test_is_in_it(finished: Path, tmp_path: Path) -> None:
    ship(finished, tmp_path / "mine", arm=ARM, with_examples=False)
    names = {path.name for path in (tmp_path / "mine").rglob("*")}
    assert not names & {"examples.jsonl", "answers.jsonl", "prompts.jsonl"} and "scores.jsonl" in names
    assert verify(tmp_path / "mine")["probes"] == 3
    with pytest.raises(SettingsError, match="was shipped without its test examples"):
        verify(tmp_path / "mine", test=True)


# --------------------------------------------------------------------------------------------------- what is refused


def test_what_cannot_be_shipped_is_a_sentence(finished: Path, shipped: Path, tmp_path: Path) -> None:
    rows: list[tuple[dict[str, Any], str]] = [
        ({"arm": "nobody"}, r"name a finished arm"),
        ({"arm": "copy-3"}, r"name a finished arm"),
        ({"gguf": ["q4_0"]}, r"'q4_0' is no kind that is written here; there are: f16, q8_0"),
        ({"with_modelfile": True}, r"a Modelfile needs a GGUF file"),
        ({"arm": "soft", "gguf": ["f16"]}, r"soft has nothing to merge into the base"),
    ]
    for how, words in rows:
        with pytest.raises(LuthierError, match=words):
            ship(finished, tmp_path / "out", **{"arm": ARM, **how})
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(FolderError, match="there is something already"):
        ship(finished, shipped)


def test_an_export_that_is_not_as_good_is_not_shipped(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from luthier.arms import ship as module

    def worse(path: Path, model: Any) -> Any:
        again = original(path, model)
        with torch.no_grad():
            again.module.model.norm.weight.mul_(0.999)  # far less than a distance that would be a mistake
            again.module.model.embed_tokens.weight[300:] = 0
        return again

    original = module.read_gguf
    monkeypatch.setattr(module, "read_gguf", worse)
    monkeypatch.setitem(module.MOST_DISTANCE, "f16", 1.0)
    with pytest.raises(ModelError, match=r"as f16 the verdict against what was measured is '(worse|cannot tell)'"):
        ship(finished, tmp_path / "out", arm=ARM, gguf=["f16"])
    monkeypatch.setitem(module.MOST_DISTANCE, "f16", 0.0)
    with pytest.raises(ModelError, match="its next words are unlike what was measured"):
        ship(finished, tmp_path / "out", arm=ARM, gguf=["f16"], force=True)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------ tamper


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_every_changed_removed_or_added_file_is_named(copy: Path) -> None:
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    assert len(files) > 12
    for path in files:
        kept, name = path.read_bytes(), path.relative_to(copy).as_posix()
        for change in (flip, Path.unlink):
            change(path)
            with pytest.raises(FolderError, match=path.name if name != "SHA256SUMS" else "SHA256SUMS|names"):
                verify(copy)
            path.write_bytes(kept)
    for name in ("adapter/more.json", "evil.py", "evidence/arms/x/scores.jsonl", "adapter/adapter_model.bin"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("{}")
        with pytest.raises(FolderError, match=Path(name).name):
            verify(copy)
        (copy / name).unlink()
        if name.startswith("evidence/arms/x"):
            (copy / name).parent.rmdir()
    link = copy / "adapter" / "link.json"
    link.symlink_to("/etc/passwd")
    with pytest.raises(FolderError, match="is a symbolic link"):
        verify(copy)
    link.unlink()
    assert verify(copy)["probes"] == 3


def others_weights(path: Path) -> None:
    save_file({name: one + 0.01 for name, one in load_file(path).items()}, path)


def keyed(**changes: Any) -> Callable[[Path], None]:
    return lambda path: write_json(path, {**read_json(path), **changes})


def pickled(path: Path) -> None:
    torch.save({}, path.with_name("adapter_model.bin"))


FORGERIES: list[tuple[str, Callable[[Path], None]]] = [
    ("adapter/adapter_model.safetensors", others_weights),
    ("adapter/adapter_config.json", keyed(lora_alpha=64)),
    ("adapter/adapter_config.json", keyed(target_modules="(a+)+$" * 9)),
    ("adapter/adapter_config.json", keyed(auto_mapping={"base_model_class": "os.system", "parent_library": "os"})),
    ("adapter/adapter_model.safetensors", pickled),
    ("luthier.json", keyed(template="{input} Say yes.")),
    ("luthier.json", keyed(seed=7)),
    ("luthier.json", keyed(method="full")),
    ("luthier.json", keyed(generation={**{"max_new_tokens": 500}})),
    ("luthier.json", keyed(weights="weights")),
    ("luthier.json", keyed(note_sha256="0" * 64)),
]


@pytest.mark.parametrize(("name", "forge"), FORGERIES, ids=[f"{row[0]}-{i}" for i, row in enumerate(FORGERIES)])
def test_a_forged_arm_is_refused_by_all_who_would_answer(
    name: str, forge: Callable[[Path], None], copy: Path, tmp_path: Path
) -> None:
    """Also where the hashes of the folder were made again: the arm's own note binds what answers."""
    from luthier.serving.served import load_served

    before = (copy / name).read_bytes()
    forge(copy / name)
    if (copy / name).read_bytes() == before and forge is not pickled:
        pytest.skip("this change changes nothing")
    for refuse in (lambda: verify(copy), lambda: list(ask(copy, "Tom?")), lambda: load_served([str(copy)]),
                   lambda: merge_arm(copy, tmp_path / "merged")):  # fmt: skip
        with pytest.raises((FolderError, ModelError)):
            refuse()
    write_sums(copy)
    with pytest.raises((FolderError, ModelError)):
        verify(copy)


@pytest.mark.parametrize(
    "change", [{"decision": "Ship it."}, {"n": 9999}, {"exports": []}, {"margin": 0.5}, {"pairs": []}, {"chosen": True}]
)
def test_a_forged_evidence_is_refused(change: dict[str, Any], copy: Path) -> None:
    path = copy / "evidence.json"
    if read_json(path) == {**read_json(path), **change}:
        change = {"chosen": False}
    write_json(path, {**read_json(path), **change})
    write_sums(copy)
    with pytest.raises(FolderError, match=r"evidence\.json: a field of it was changed"):
        verify(copy)


def test_a_test_that_goes_otherwise_is_said(copy: Path) -> None:
    """Somebody wrote better scores, compared them by the rules, and made every hash again."""
    inside, evidence, note = StudyFolder(copy / "evidence"), Evidence.read(copy), ShippedNote.read(copy)
    place = inside.arm(ARM) / "scores.jsonl"
    rows = [json.loads(line) for line in place.read_text().splitlines()]
    for row in rows:
        row["values"]["rouge1"] = 1.0
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = Comparison.read(inside.path)
    scores = {arm: inside.scores(arm) for arm in before.arms}
    compared = again(before, scores)
    compared.write(inside.path)
    joined = again(compared, scores | {one.arm: inside.scores(one.arm) for one in evidence.exports})
    told = [(one, joined.pair(one.arm, ARM)) for one in evidence.exports]
    names = ("verdict", "difference", "low", "high")
    exports = [one.model_copy(update={name: getattr(pair, name) for name in names}) for one, pair in told]
    forged = evidence_of(ARM, StudyRecord.read(inside.path), compared, note, exports, True)
    files = hashes_of(copy, ("SHA256SUMS", "evidence.json"))
    forged.model_copy(update={"files": files}).sealed().write(copy)
    write_sums(copy)
    assert compared.ship.sentence != before.ship.sentence
    assert verify(copy)["probes"] == 3
    with pytest.raises(FolderError, match=r"scores\.jsonl: these are not the scores of the answers beside it"):
        verify(copy, test=True)


# ------------------------------------------------------------------------------------------------- what is not kept


def test_an_arm_that_is_not_kept_is_shipped_only_by_force(finished: Path, tmp_path: Path) -> None:
    study = Path(shutil.copytree(finished, tmp_path / "study"))
    compared = Comparison.read(study)
    barred = compared.ship.model_copy(update={"barred": {ARM: "lost"}, "arm": None, "provisional": "copy-3"})
    compared.model_copy(update={"ship": barred}).write(study)
    assert ARM not in Comparison.read(study).arms_to_ask()
    with pytest.raises(ModelError, match=r"not shown to have kept .* says 'lost'; ship another arm with --arm"):
        ship(study, tmp_path / "refused", arm=ARM)
    assert not (tmp_path / "refused").exists()
    assert ship(study, tmp_path / "other").arm != ARM
    assert ship(study, tmp_path / "forced", arm=ARM, force=True).arm == ARM


# -------------------------------------------------------------------------------------------------------------- push


class Hub:
    """What was asked of the hub."""

    def __init__(self, private: bool = True) -> None:
        self.private, self.asked = private, list[Any]()

    def create_repo(self, name: str, **how: Any) -> Any:
        self.asked.append(("create", name, how["private"]))
        return type("Address", (str,), {"repo_id": name})(f"https://hub.example/{name}")

    def repo_info(self, name: str) -> Any:
        return type("Info", (), {"private": self.private})

    def upload_folder(self, **how: Any) -> None:
        self.asked.append(("upload", how["repo_id"]))


def test_push_is_private_and_keeps_examples_here(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    with monkeypatch.context() as quick:
        quick.setattr(ship_push, "verify", lambda place: pytest.fail("what is refused needs no long check"))
        with pytest.raises(SettingsError, match="holds test examples and answers; allow that with --examples"):
            push(shipped, "you/mine")
        with pytest.raises(LuthierError, match="no file can have this name"):
            push("a\0b", "you/mine", examples=True)
    assert hub.asked == []
    assert push(shipped, "you/mine", examples=True) == "https://hub.example/you/mine"
    assert hub.asked == [("create", "you/mine", True), ("upload", "you/mine")]
    hub.private = False
    with pytest.raises(SettingsError, match="is a public model already; say --public"):
        push(shipped, "you/mine", examples=True)
    push(shipped, "you/mine", examples=True, public=True)
    assert hub.asked[-2:] == [("create", "you/mine", False), ("upload", "you/mine")]


def test_a_changed_folder_is_not_pushed(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="name a folder that `luthier ship` made"):
        push(tmp_path, "you/mine")
    flip(copy / "README.md")
    with pytest.raises(FolderError, match=r"README\.md: is not the file"):
        push(copy, "you/mine", examples=True)
