"""Pieces of a stream joined are the text decoded at once; a stop string ends it wherever tokens break."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from luthier.decoding.text import TextStream
from luthier.model.sources import resolve
from tests import tiny

LETTERS = "ab \n€é😀👩‍👩‍👧\ufffdשل字"
TEXTS = st.lists(st.sampled_from([*LETTERS, "Monday", " at nine", "\n\n", "  ", "👍🏽"]), max_size=20).map("".join)


@functools.cache
def byte_level() -> Any:
    return tiny.tokenizer(chat=True)


def streamed(tokenizer: Any, ids: list[int], stops: tuple[str, ...] = (), strip: bool = True) -> list[str]:
    stream = TextStream(tokenizer, stops, strip=strip)
    return [stream.add(token, last=place == len(ids) - 1) for place, token in enumerate(ids)]


def cut(text: str, stops: tuple[str, ...], strip: bool) -> str:
    """The text up to the stop string that is complete first, letter by letter."""
    text = text.lstrip() if strip else text
    for end in range(len(text) + 1):
        if ending := [stop for stop in stops if text[:end].endswith(stop)]:
            text = text[: end - max(map(len, ending))]
            break
    return text.rstrip() if strip else text


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, split=st.randoms(use_true_random=False), stops=st.lists(TEXTS.filter(bool), max_size=3))
@pytest.mark.parametrize("strip", [True, False])
def test_pieces_joined_are_the_text(strip: bool, text: str, split: Any, stops: list[str]) -> None:
    """Whatever the tokens are: the usual ones, or single bytes."""
    tokenizer = byte_level()
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if split.random() < 0.5:  # tokens of one byte each: a character of four bytes needs four
        letters = tokenizer.convert_ids_to_tokens(ids)
        ids = [id for word in letters for id in tokenizer.convert_tokens_to_ids(list(word))]
    ids = [*ids, 1]  # the end token is no text
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    assert "".join(streamed(tokenizer, ids, tuple(stops), strip)) == cut(whole, tuple(stops), strip)


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.integers(5, 379), max_size=30))
def test_tokens_that_are_no_text_are_not_held_for_ever(ids: list[int]) -> None:
    tokenizer = byte_level()
    pieces = streamed(tokenizer, [*ids, 1], strip=False)
    assert "".join(pieces).count("\ufffd") <= 4 * len(ids)
    assert len("".join(pieces)) >= len(tokenizer.decode(ids, skip_special_tokens=True).replace("\ufffd", ""))


def test_a_real_replacement_character_comes_out_soon() -> None:
    tokenizer = byte_level()
    one = tokenizer("\ufffd", add_special_tokens=False)["input_ids"]
    pieces = streamed(tokenizer, [*one * 8, 1])
    shown = next(place for place, piece in enumerate(pieces) if piece)
    assert shown <= 3 * len(one) + 1 and "".join(pieces) == "\ufffd" * 8


def test_what_may_begin_a_stop_string_is_held_and_no_more() -> None:
    tokenizer = byte_level()
    ids = [tokenizer.convert_tokens_to_ids(letter) for letter in "abXYabXZ!"]
    assert streamed(tokenizer, ids, ("XZ",)) == ["a", "b", "", "XY", "a", "b", "", "", ""]
    stream = TextStream(tokenizer, ["XY"])
    assert [stream.add(token) for token in ids[:4]] == ["a", "b", "", ""] and stream.stopped
    assert stream.add(ids[4]) == "", "nothing comes after a stop string"


def test_each_token_is_decoded_with_few_others() -> None:
    class Counting:
        def __init__(self) -> None:
            self.tokens = 0

        def decode(self, tokens: list[int], **how: Any) -> str:
            self.tokens += len(tokens)
            return byte_level().decode(tokens, **how)

    counting = Counting()
    streamed(counting, byte_level()("Anna: Can we move it? " * 100, add_special_tokens=False)["input_ids"])
    length = len(byte_level()("Anna: Can we move it? " * 100)["input_ids"])
    assert counting.tokens <= 16 * length


def test_a_real_tokenizer(smollm2: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(resolve(smollm2))
    text = "  Ñandú — 3 € 😀👩‍👩‍👧 naïve\n\nשלום 字 \ufffd end \n"
    ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    assert "".join(streamed(tokenizer, ids)) == text.strip()
    assert "".join(streamed(tokenizer, ids, ("字",), strip=False)) == text.partition("字")[0]


def test_a_real_tokenizer_of_pieces(flan_folder: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(flan_folder)
    ids = tokenizer("The team meets on Monday, at nine; bring 3 tickets.")["input_ids"]
    assert "".join(streamed(tokenizer, ids)) == tokenizer.decode(ids, skip_special_tokens=True).strip()
