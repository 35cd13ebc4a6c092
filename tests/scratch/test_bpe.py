"""Our BPE makes the library's merges, vocabulary and ids, on any text."""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from luthier.scratch.bpe import BPE

FEW = st.text(alphabet="ab ", max_size=60)  # many ties and overlaps
ANY = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
MIXED = st.text(alphabet="aé漢😀 1'ſ\x85\u3000\n\t.s", max_size=60)


def library(texts: list[str], size: int) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    return made


def check_equal(texts: list[str], size: int, others: list[str]) -> None:
    theirs, ours = library(texts, size), BPE(texts, size)
    merges = [(ours.tokens[left], ours.tokens[right]) for left, right in ours.merges]
    assert merges == [tuple(pair) for pair in json.loads(theirs.to_str())["model"]["merges"]]
    assert ours.ids == theirs.get_vocab()
    for text in texts + others:
        assert ours.encode(text) == theirs.encode(text).ids
        assert ours.decode(ours.encode(text)) == text


@settings(deadline=None, max_examples=150)
@given(st.lists(FEW | ANY | MIXED, max_size=4), st.integers(256, 330), FEW | ANY | MIXED)
def test_any_text(texts: list[str], size: int, other: str) -> None:
    check_equal(texts, size, [other])


@pytest.mark.parametrize("texts", [["aaaa aaaaaaa aaa"], ["abab", "baba"], ["abcabcabc" * 5], [""], []])
def test_overlaps_and_ties(texts: list[str]) -> None:
    check_equal(texts, 300, ["aaaaa", "abcab"])


def test_a_module_of_python() -> None:
    text = Path(inspect.getfile(argparse)).read_text(encoding="utf-8")
    check_equal([text], 1500, ["def f(x): return x  # 漢字"])


def test_the_file_has_at_most_80_lines() -> None:
    assert len(Path(inspect.getfile(BPE)).read_text(encoding="utf-8").splitlines()) <= 80
