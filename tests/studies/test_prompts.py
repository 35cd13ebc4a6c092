"""A study's prompts: their day stays that of the measuring, and what they leave out is refused before any training."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.arms.ask import ask
from luthier.arms.merge import merge
from luthier.arms.shipped import load_arm, verify
from luthier.errors import FolderError, PromptError
from luthier.files import read_json, write_json
from luthier.records import Prompt
from luthier.results.record import read_lines_of
from luthier.results.shipped_note import ShippedNote
from luthier.studies.multitask import multitask
from luthier.studies.study import study
from tests.hostile.templates import WHOLE
from tests.studies.test_study import make_task

CASES = Path(__file__).parents[3] / "shared" / "cases"
DATED = "<|im_start|>system\nToday is {{ strftime_now('%d %b %Y') }}.<|im_end|>\n" + WHOLE


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "task").mkdir()
    return make_task(tmp_path / "task", test=8)


@pytest.fixture
def model(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> Callable[[str], Path]:
    def with_template(source: str) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(tiny_folder("decoder-chat"), folder)
        (folder / "chat_template.jinja").write_text(source)
        return folder

    return with_template


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes today a day of July 2026."""

    def day(number: int) -> None:
        class Day(datetime.date):
            @classmethod
            def today(cls) -> datetime.date:
                return datetime.date(2026, 7, number)

        monkeypatch.setattr("luthier.task.chat_template.date", Day)

    return day


def texts(study_folder: Path, arm: str) -> list[str]:
    return [prompt.text for prompt in read_lines_of(Prompt, study_folder / "arms" / arm / "prompts.jsonl")]


@pytest.mark.slow
def test_a_dated_prompt_is_the_same_tomorrow(
    task: Path, tmp_path: Path, model: Callable[[str], Path], on: Callable[[int], None]
) -> None:
    on(5)
    base = str(model(DATED))
    out = study(task, model=base, arms="lora-r4", out=tmp_path / "out")
    assert read_json(out / "study.json")["day"] == ShippedNote.read(out / "arms" / "lora-r4").day == "2026-07-05"
    asked = "".join(ask(out, "Anna: Is Friday free?", arm="lora-r4"))
    on(6)
    assert "".join(ask(out, "Anna: Is Friday free?", arm="lora-r4")) == asked
    assert "Today is 05 Jul 2026." in load_arm(out / "arms" / "lora-r4").prompt("Anna: Is Friday free?").text
    verify(load_arm(out / "arms" / "lora-r4"))
    assert merge(out, tmp_path / "merged", arm="lora-r4", differ=3)["probes"] == 3
    study(task, model=base, arms="lora-r4,one-shot", out=out)  # goes on, tomorrow
    for arm in ("zero-shot", "lora-r4", "one-shot"):
        assert all(text.startswith("<|im_start|>system\nToday is 05 Jul 2026.") for text in texts(out, arm))
    assert (
        "Today is 06 Jul 2026."
        in texts(study(task, model=base, arms="zero-shot", out=tmp_path / "new"), "zero-shot")[0]
    )


def test_the_day_stands_only_where_a_template_prints_it(
    task: Path, tmp_path: Path, model: Callable[[str], Path], on: Callable[[int], None]
) -> None:
    out = study(task, model=str(model(WHOLE)), arms="zero-shot", out=tmp_path / "out")
    assert "day" not in read_json(out / "study.json")
    assert "day" not in read_json(out / "arms" / "zero-shot" / "luthier.json")
    write_json(out / "study.json", read_json(out / "study.json") | {"day": "yesterday"})
    with pytest.raises(FolderError, match="the key 'day' is 'yesterday'; it should be a date such as 2026-07-30"):
        study(task, model=str(tmp_path / "model"), arms="zero-shot", out=out)


@pytest.mark.slow
def test_several_tasks_share_one_day(
    task: Path, tmp_path: Path, model: Callable[[str], Path], on: Callable[[int], None]
) -> None:
    other = Path(shutil.copytree(task, tmp_path / "other"))
    (other / "task.toml").write_text((task / "task.toml").read_text().replace("tiny", "other"))
    on(5)
    out = multitask(
        [task, other], model=str(model(DATED)), arms="lora-r4", train=6, dev=2, test=4, out=tmp_path / "out"
    )
    on(6)
    multitask([task, other], model=str(tmp_path / "model"), arms="lora-r4,soft-4", train=6, dev=2, test=4, out=out)
    assert read_json(out / "multitask.json")["day"] == "2026-07-05"
    for name in ("tiny", "other"):
        assert read_json(out / "tasks" / name / "study.json")["day"] == "2026-07-05"
        assert all("05 Jul" in text for text in texts(out / "tasks" / name, "soft-4"))


def test_content_as_parts_reaches_the_prompts(task: Path, tmp_path: Path, model: Callable[[str], Path]) -> None:
    base = model(WHOLE.replace("message['content']", "message['content'][0]['text']"))
    out = study(task, model=str(base), arms="few-shot-2", out=tmp_path / "out")
    inputs = [json.loads(line)["input"] for line in (out / "examples.jsonl").read_text().splitlines()]
    for arm in ("zero-shot", "few-shot-2"):
        assert all(input in text for input, text in zip(inputs, texts(out, arm), strict=True))
    assert max(text.count("<|im_start|>assistant") for text in texts(out, "few-shot-2")) > 1  # a shot and the answer


@pytest.mark.parametrize("source, said", [
    ("<|im_start|>Hello<|im_end|>", "the chat template leaves out or changes the input"),
    ("{% set m = messages[-1] %}<|im_start|>{{ m.content }}<|im_end|>", "leaves out or changes the question of shot 1"),
    (WHOLE.replace("message['content']", "message['content'][:3]"), "leaves out or changes the input"),
])  # fmt: skip
def test_what_a_prompt_leaves_out_is_refused_before_any_arm_runs(
    source: str, said: str, task: Path, tmp_path: Path, model: Callable[[str], Path]
) -> None:
    with pytest.raises(PromptError, match=said):
        study(task, model=str(model(source)), arms="lora-r4,few-shot-2", out=tmp_path / "out")
    assert not (tmp_path / "out" / "arms").exists()


@pytest.mark.parametrize("case, said", [
    ("template-bad-jinja", "chat_template.jinja: the chat template cannot be rendered .Unexpected end of template"),
    ("template-needs-system", "the chat template cannot be rendered .A system message must come first"),
])  # fmt: skip
def test_templates_that_people_bring(case: str, said: str, task: Path, tmp_path: Path) -> None:
    folder = CASES / "23-chat-templates" / case
    if not folder.exists():
        pytest.skip(f"{folder} is not there: what people bring cannot be tested")
    with pytest.raises(PromptError, match=said):
        study(task, model=str(folder), arms="lora-r4", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
