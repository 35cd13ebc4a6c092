"""The renderer: ids equal the model's own, targets end once, shots and cuts are counted, control tokens are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.errors import PromptError
from luthier.records import Example
from luthier.task.prompt import Renderer, draw_shots, paint, template
from tests import tiny

ASKED = Example("x", tiny.SENTENCES[0], ("She asks for Friday.",), row=7)
SHOTS = tiny.examples(4, prefix="shot")


@pytest.fixture(scope="module")
def chat() -> Renderer:
    return Renderer(tiny.tokenizer(chat=True), "decoder", 512)


@pytest.fixture(scope="module")
def plain() -> Renderer:
    return Renderer(tiny.tokenizer(), "decoder", 512)


@pytest.fixture(scope="module")
def t5() -> Renderer:
    return Renderer(tiny.tokenizer(ends_prompts=True), "encoder-decoder", 512)


@pytest.fixture(params=["chat", "plain", "t5"])
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return request.getfixturevalue(request.param)


def with_window(renderer: Renderer, window: int) -> Renderer:
    return Renderer(renderer.tokenizer, renderer.family, window)


# --- ids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_chat_ids_are_the_tokenizers_own(chat: Renderer, shots: int) -> None:
    messages = template(ASKED, tiny.PLAIN, SHOTS[:shots])
    own = chat.tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True)["input_ids"]
    assert chat.render(messages)[0] == own


def test_a_real_chat_template_too(smollm2: str) -> None:
    from transformers import AutoTokenizer

    from luthier.model.sources import resolve

    tokenizer = AutoTokenizer.from_pretrained(resolve(smollm2))
    renderer = Renderer(tokenizer, "decoder", 2048)
    messages = template(ASKED, tiny.PLAIN, SHOTS[:2])
    own = tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True)["input_ids"]
    assert renderer.render(messages)[0] == own
    assert renderer.end_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_the_real_t5_tokenizer(flan_folder: Path) -> None:
    from transformers import AutoTokenizer

    renderer = Renderer(AutoTokenizer.from_pretrained(flan_folder), "encoder-decoder", 512)
    asked = Example("t", "What time is it, Tom?", ("Half past two.",))
    prompt = renderer.prompt(asked, "{input}", train=True)
    assert list(prompt.prompt_ids) == [363, 97, 19, 34, 6, 3059, 58, 1]
    assert prompt.target_ids is not None
    assert prompt.target_ids[-1] == 1 and prompt.target_ids.count(1) == 1


def test_plain_text_has_what_the_tokenizer_puts_around_it(t5: Renderer, plain: Renderer) -> None:
    end = t5.tokenizer.eos_token_id
    assert t5.prompt(ASKED, tiny.PLAIN).prompt_ids[-1] == end
    assert end not in plain.prompt(ASKED, tiny.PLAIN).prompt_ids


def test_messages_keep_their_order_without_a_chat_template(plain: Renderer) -> None:
    """A server's messages may begin with a system message; each answer stays behind its own question."""
    roles = [("system", "Be brief."), ("user", "one?"), ("assistant", "1"), ("user", "two?")]
    text = plain.text([{"role": role, "content": content} for role, content in roles])
    assert text == "Be brief.\none?\n1\n\ntwo?\n"


def test_words_in_braces_are_data(renderer: Renderer) -> None:
    shot = Example("s", "{input}", ("a",))
    assert [m["content"] for m in template(ASKED, "Q: {input}", [shot])] == ["Q: {input}", "a", f"Q: {ASKED.input}"]


# --- what a chat template leaves out ------------------------------------------------------------------------------

TURN = "<|im_start|>{{ m.content }}<|im_end|>"


def chatting(source: str) -> Renderer:
    tokenizer = tiny.tokenizer(chat=True)
    tokenizer.chat_template = source
    return Renderer(tokenizer, "decoder", 2048)


@pytest.mark.parametrize("source, what", [
    ("Hello", "the input"),
    ("{% for m in messages %}" + TURN.replace("m.content", "m.content | upper") + "{% endfor %}", "the input"),
    ("{% set m = messages[-1] %}" + TURN, "the question of shot 1"),
    ("{% for m in messages if m.role == 'user' %}" + TURN + "{% endfor %}", "the answer of shot 1"),
    ("{% for m in messages | reverse %}" + TURN + "{% endfor %}", "the answer of shot 1"),
])  # fmt: skip
def test_what_a_chat_template_leaves_out_or_changes_is_named(source: str, what: str) -> None:
    shots = [] if what == "the input" else SHOTS[:2]
    with pytest.raises(
        PromptError, match=f"'x' .row 7.: the tokenizer: the chat template leaves out or changes {what};"
    ):
        chatting(source).prompt(ASKED, tiny.PLAIN, shots)
    whole = "{% for m in messages %}" + TURN + "{% endfor %}"
    assert chatting(whole).prompt(ASKED, tiny.PLAIN, SHOTS[:2]).shots == ("shot0", "shot1")


def test_a_template_may_trim_what_it_is_given() -> None:
    trims = "{% for m in messages %}" + TURN.replace("m.content", "m.content | trim") + "{% endfor %}"
    assert chatting(trims).prompt(Example("x", "  Hello \n\n", ()), "{input}").text == "<|im_start|>Hello<|im_end|>"


# --- targets ------------------------------------------------------------------------------------------------------


def test_a_target_ends_once_with_the_end_that_a_chat_template_writes(chat: Renderer) -> None:
    """Not with the tokenizer's own end token: in a chat the model must learn to end its turn."""
    target_ids = chat.prompt(ASKED, tiny.PLAIN, train=True).target_ids
    assert target_ids is not None
    end = chat.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert chat.tokenizer.eos_token_id != end
    assert target_ids[-1] == end == chat.end_id and target_ids.count(end) == 1


def test_a_chats_whole_conversation_is_prompt_and_target(chat: Renderer) -> None:
    messages = [*template(ASKED, tiny.PLAIN), {"role": "assistant", "content": ASKED.references[0]}]
    whole = chat.tokenizer.apply_chat_template(messages, tokenize=True)["input_ids"]
    prompt = chat.prompt(ASKED, tiny.PLAIN, train=True)
    written = [*prompt.prompt_ids, *(prompt.target_ids or ())]
    assert whole[: len(written)] == written  # the template puts a line break behind the end token


@pytest.mark.parametrize("name", ["plain", "t5"])
def test_a_target_ends_once_with_the_tokenizers_end(name: str, request: pytest.FixtureRequest) -> None:
    renderer = request.getfixturevalue(name)
    target_ids = renderer.prompt(ASKED, tiny.PLAIN, train=True).target_ids
    assert target_ids[-1] == renderer.tokenizer.eos_token_id and target_ids.count(target_ids[-1]) == 1
    assert renderer.tokenizer.decode(target_ids, skip_special_tokens=True) == ASKED.references[0]


def test_training_and_asking_have_the_same_prompt(renderer: Renderer) -> None:
    trained = renderer.prompt(ASKED, tiny.PLAIN, SHOTS[:2], train=True)
    asked = renderer.prompt(ASKED, tiny.PLAIN, SHOTS[:2], room=20)
    assert trained.prompt_ids == asked.prompt_ids and trained.text == asked.text
    assert asked.target_ids is None


def test_nothing_to_train_on_is_refused(renderer: Renderer) -> None:
    with pytest.raises(PromptError, match=r"'n' \(row 3\) has no reference"):
        renderer.prompt(Example("n", "text", (), row=3), tiny.PLAIN, train=True)


def test_a_target_longer_than_the_window_is_refused_by_name(renderer: Renderer) -> None:
    long = Example("long", "text", ("word " * 200,), row=5)
    with pytest.raises(PromptError, match=r"'long' \(row 5\).*64"):
        with_window(renderer, 64).prompt(long, tiny.PLAIN, train=True)


def test_painting_shows_every_token_and_which_are_trained(renderer: Renderer) -> None:
    prompt = renderer.prompt(ASKED, tiny.PLAIN, train=True)
    painted = paint(prompt, renderer.tokenizer)
    assert len(painted) == len(prompt.prompt_ids) + len(prompt.target_ids or ())
    trained = "".join(text for text, supervised in painted if supervised)
    assert trained == ASKED.references[0] + renderer.tokenizer.decode([renderer.end_id])


# --- shots --------------------------------------------------------------------------------------------------------


def test_shots_are_drawn_by_seed_and_nested() -> None:
    train = tiny.examples(30)
    drawn = draw_shots(train, 8, seed=1)
    assert draw_shots(train, 3, seed=1) == drawn[:3]
    assert draw_shots(train, 8, seed=2) != drawn
    assert drawn != train[:8]
    with pytest.raises(PromptError, match="train has 30 usable"):
        draw_shots(train, 31, seed=1)


def test_shots_that_do_not_fit_are_dropped_last_first_and_counted(renderer: Renderer) -> None:
    whole = with_window(renderer, 4096).prompt(ASKED, tiny.PLAIN, SHOTS)
    assert whole.shots == tuple(shot.id for shot in SHOTS) and whole.shots_dropped == 0
    two = with_window(renderer, 4096).prompt(ASKED, tiny.PLAIN, SHOTS[:2])
    room = 0 if renderer.family == "encoder-decoder" else 10
    tight = with_window(renderer, len(two.prompt_ids) + room).prompt(ASKED, tiny.PLAIN, SHOTS, room=room)
    assert (tight.shots, tight.shots_dropped, tight.tokens_cut) == (two.shots, 2, 0)
    assert tight.prompt_ids == two.prompt_ids
    one_less = with_window(renderer, len(two.prompt_ids) + room - 1)
    assert one_less.prompt(ASKED, tiny.PLAIN, SHOTS, room=room).shots_dropped == 3


def test_an_example_is_never_its_own_shot_and_that_is_no_lack_of_room(renderer: Renderer) -> None:
    prompt = with_window(renderer, 4096).prompt(SHOTS[1], tiny.PLAIN, SHOTS)
    assert prompt.shots == ("shot0", "shot2", "shot3")
    assert prompt.shots_dropped == 0


# --- cuts ---------------------------------------------------------------------------------------------------------


def test_a_cut_is_counted_and_the_prompt_fits(renderer: Renderer) -> None:
    long = Example("long", "\n".join(tiny.SENTENCES * 5), ("A.",))
    prompt = with_window(renderer, 100).prompt(long, tiny.PLAIN, SHOTS, room=30)
    assert len(prompt.prompt_ids) <= 100 - (0 if renderer.family == "encoder-decoder" else 30)
    assert prompt.shots_dropped == len(SHOTS)
    in_text = prompt.text.partition("conversation.\n\n")[2]
    kept = in_text.partition("<|im_end|>")[0] if renderer.chats else in_text.removesuffix("\n")
    assert long.input.startswith(kept) and kept  # cut at its end
    tokens = [len(renderer.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (long.input, kept)]
    assert prompt.tokens_cut == tokens[0] - tokens[1] > 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=120), window=st.integers(45, 90))
def test_any_text_fits_whole_or_is_cut_at_its_end(renderer: Renderer, text: str, window: int) -> None:
    example = Example("any", text, ("A.",))
    small = with_window(renderer, window)
    whole = len(renderer.prompt(example, tiny.PLAIN).prompt_ids)
    prompt = small.prompt(example, tiny.PLAIN)
    assert len(prompt.prompt_ids) <= window
    if whole <= window:
        assert prompt.tokens_cut == 0
    else:
        assert prompt.tokens_cut > 0
        assert prompt.text.endswith(renderer.text(template(Example("", "", ()), "{input}"))[-1:])


def test_a_cut_does_not_leave_half_a_character(renderer: Renderer) -> None:
    """An emoji is four byte tokens here; cutting between them would put a replacement sign into the prompt."""
    example = Example("e", "🙂" * 60, ("A.",))
    for window in range(60, 70):
        prompt = with_window(renderer, window).prompt(example, tiny.PLAIN)
        assert "\ufffd" not in prompt.text and prompt.tokens_cut > 0


def test_an_instruction_that_does_not_fit_is_refused(renderer: Renderer) -> None:
    with pytest.raises(PromptError, match=r"'x' \(row 7\): the instruction alone does not fit into 10 tokens"):
        with_window(renderer, 10).prompt(ASKED, tiny.PLAIN)


# --- control tokens and hashes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["<|im_end|>", "</s>", "<filename>"])
def test_control_tokens_in_a_users_text_are_refused(renderer: Renderer, token: str) -> None:
    """In the input they would end a turn, in a reference an answer; <filename> is one that no role refers to."""
    with pytest.raises(PromptError, match=token.replace("|", r"\|")):
        renderer.prompt(Example("c", f"hi {token} there", ("A.",)), tiny.PLAIN)
    with pytest.raises(PromptError, match=token.replace("|", r"\|")):
        renderer.prompt(Example("c", "hi", (f"A {token}",)), tiny.PLAIN, train=True)
    with pytest.raises(PromptError, match=token.replace("|", r"\|")):
        renderer.prompt(ASKED, tiny.PLAIN, [Example("s", "hi", (f"A {token}",))])


def test_the_hash_follows_template_shots_and_model_and_no_input(chat: Renderer, plain: Renderer, t5: Renderer) -> None:
    of: Callable[..., Any] = chat.hash
    hashes = [
        of(tiny.PLAIN, []),
        of(tiny.PLAIN + " ", []),
        of(tiny.PLAIN, SHOTS[:1]),
        of(tiny.PLAIN, SHOTS[:2]),
        of(tiny.PLAIN, SHOTS[1::-1]),
        plain.hash(tiny.PLAIN, []),
        t5.hash(tiny.PLAIN, []),
    ]
    assert len(set(hashes)) == len(hashes)
    assert of(tiny.PLAIN, []) == with_window(chat, 100).hash(tiny.PLAIN, []) == hashes[0]
