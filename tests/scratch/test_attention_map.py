"""Attention drawn: a square a head, and refusals in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from luthier.scratch.attention_map import attention_svg
from tests.commands import one_sentence


def test_a_figure_has_a_square_for_each_head_and_says_where_it_looks() -> None:
    shares = torch.eye(3).repeat(2, 1, 1)
    svg = attention_svg(shares, ["a", "<b>", "c"], ["a", "<b>", "c"], "decoder.0")
    assert svg.startswith("<svg ") and svg.count("head 0<") == 1 and svg.count("head 1<") == 1
    assert "&lt;b&gt;" in svg and "<b>" not in svg
    assert "head 1 looks from" in svg
    assert attention_svg(shares, ["a", "<b>", "c"], ["a", "<b>", "c"], "decoder.0") == svg


@pytest.mark.parametrize("kind", ["decoder-plain", "bert", "t5-tied"])
def test_the_verb_writes_the_figure(kind: str, tiny_folder, luthier_says, tmp_path: Path) -> None:
    out = tmp_path / "map.svg"
    said = luthier_says("tokens", "Anna: Lunch?", "--tokenizer", tiny_folder(kind), "--attention", out, "--layer", 1)
    assert said.code == 0 and out.read_text().startswith("<svg ")
    said = luthier_says("tokens", "Anna: Lunch?", "--tokenizer", tiny_folder(kind), "--attention", out, "--layer", 9)
    assert said.code == 2
    one_sentence(said.err)
