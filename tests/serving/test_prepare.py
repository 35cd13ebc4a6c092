"""What a client says stands in the prompt whole, or is refused; and a long input is cut as it was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.arms.ask import _request
from luthier.arms.shipped import Shipped
from luthier.decoding.consensus import ConsensusBatch
from luthier.decoding.settings import Generation
from luthier.records import Prompt
from luthier.results.arm_record import ArmRecord
from luthier.results.folder import StudyFolder
from luthier.results.lines import PROMPTS_FILE
from luthier.results.record import read_lines_of
from luthier.serving.prepare import prepare
from luthier.serving.protocol import ChatRequest, CompletionRequest, Refusal
from luthier.serving.served import Served, load_served
from luthier.studies.study import study
from tests import tiny

EVERYTHING = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
NO_RULES = "{% for m in messages if m['role'] != 'system' %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
THE_LAST = "<|im_start|>{{ messages[-1]['content'] }}<|im_end|>"
LOUD = "{% for m in messages %}<|im_start|>{{ m['content'] | upper }}<|im_end|>{% endfor %}"
RULES_LAST = (
    "{% for m in messages[1:] %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}{{ messages[0]['content'] }}"
)
UNTHOUGHT = "{% for m in messages %}<|im_start|>{{ m['content'].split('</think>')[-1] | trim }}<|im_end|>{% endfor %}"
RULES, FIRST, REPLY, LAST = (
    ("system", "Be brief."), ("user", "Are you there?"), ("assistant", "<think>Am I?</think> Yes."), ("user", "Good?")
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "said", "left_out"),
    [
        (EVERYTHING, [RULES, FIRST, REPLY, LAST], None),
        (EVERYTHING, [FIRST, REPLY, FIRST], None),
        (NO_RULES, [FIRST, REPLY, LAST], None),
        (NO_RULES, [RULES, FIRST], "message 1, whose role is 'system'"),
        (NO_RULES, [FIRST, ("developer", "Be brief."), LAST], "message 2, whose role is 'system'"),
        (THE_LAST, [LAST], None),
        (THE_LAST, [FIRST, REPLY, LAST], "message 1, whose role is 'user'"),
        (THE_LAST, [LAST, REPLY, LAST], "message 2, whose role is 'assistant'"),
        (THE_LAST, [LAST, LAST], "message 2, whose role is 'user'"),
        (LOUD, [FIRST], "message 1, whose role is 'user'"),
        (RULES_LAST, [RULES, FIRST, LAST], None),
        (UNTHOUGHT, [RULES, FIRST, REPLY, LAST], None),
    ],
)
def test_what_the_template_leaves_out_is_refused(
    source: str, said: list[tuple[str, str]], left_out: str | None, tiny_folder: Callable[[str], Path]
) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    model.tokenizer.chat_template = source
    arm = Shipped(Path("tiny"), model, "{input}", (), Generation(max_new_tokens=4), 0, ())
    messages = [{"role": role, "content": content} for role, content in said]
    asked = ChatRequest.model_validate({"model": "tiny", "messages": messages})
    if left_out is None:
        (prompt,) = prepare(Served("tiny", arm, True, ""), asked).prompts
        assert prompt.prompt_ids == tuple(model.renderer.render([
            {"role": role.replace("developer", "system"), "content": content} for role, content in said
        ])[0])  # fmt: skip
        return
    with pytest.raises(Refusal, match=f"leaves out or changes {left_out}; say it in another message") as refused:
        prepare(Served("tiny", arm, True, ""), asked)
    assert refused.value.problem.param == "messages"


def test_no_sample_of_a_choice_is_one_of_another(tiny_folder: Callable[[str], Path]) -> None:
    """Each answer of an arm that chooses among samples has samples of its own."""
    model = tiny.fresh(tiny_folder("decoder-chat"))
    drawn = Generation(max_new_tokens=4, temperature=1.0, samples=4)
    arm = Shipped(Path("tiny"), model, "{input}", (), drawn, 0, ())
    asked = CompletionRequest.model_validate({"model": "tiny", "prompt": "Anna: yes", "n": 4})
    requests = prepare(Served("tiny", arm, False, ""), asked).requests("a")
    rows = ConsensusBatch(model, requests).batch.coming
    assert len({row.request.seed for row in rows}) == len(rows) == 16


@pytest.mark.slow
def test_a_long_input_makes_the_prompt_that_was_measured(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Also where dev chose a limit that leaves more of the window free."""
    task = tmp_path / "task"
    task.mkdir()
    for split, count in (("train", 4), ("dev", 2), ("test", 3)):
        rows = [
            {"id": one.id, "input": one.input * (1 + 5 * (i == 1)), "references": list(one.references), "meta": {}}
            for i, one in enumerate(tiny.examples(count, prefix=split))
        ]
        (task / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (task / "task.toml").write_text('name = "tiny"\n[answer]\nmax_new_tokens = 32\n')
    arms = ["few-shot-1", "bare+max_new_tokens=40"]
    out = study(task, model=str(tiny_folder("decoder-chat")), arms=arms, out=tmp_path / "out", precision="fp32")
    folder, served = StudyFolder(out), load_served([str(out)], arms)
    chosen = ArmRecord.read(folder.arm("few-shot-1")).length
    assert chosen is not None and chosen.chosen < 32, "the limit that dev chose must be another one than the task's"
    for arm in arms:
        prompts = {prompt.id: prompt for prompt in read_lines_of(Prompt, folder.arm(arm) / PROMPTS_FILE)}
        assert [prompt.tokens_cut > 0 for prompt in prompts.values()] == [False, True, False]
        for example in folder.examples():
            measured = prompts[example.id]
            _, asked, _ = _request(out, example.input, arm, None, None, False, False)
            assert (asked.prompt_ids, asked.tokens_cut) == (measured.prompt_ids, measured.tokens_cut)
            for body in ({"messages": [{"role": "user", "content": example.input}]}, {"prompt": example.input}):
                kind = ChatRequest if "messages" in body else CompletionRequest
                question = prepare(served[arm], kind.model_validate({"model": arm, **body}))
                assert question.requests("x")[0].prompt_ids == measured.prompt_ids and question.about.measured
