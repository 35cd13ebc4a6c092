"""`luthier tokens`: pieces, ids and rates, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from luthier.errors import ModelError
from luthier.scratch.neighbours import looked_into, neighbours
from luthier.scratch.token_table import SAMPLES, token_table
from tests.commands import one_sentence


def test_ids_give_the_text_back_and_rates_are_bytes_over_tokens(tiny_folder) -> None:
    text = "Anna moves her appointment. 漢"
    table = token_table(text, str(tiny_folder("decoder-plain")))
    assert table.lossless and table.bytes == len(text.encode()) and table.window == 512
    assert table.own_bytes_a_token == table.bytes / len(table.ids)
    assert table.window_bytes == round(512 * table.own_bytes_a_token)
    assert set(table.bytes_a_token) == set(SAMPLES) and all(rate >= 1 for rate in table.bytes_a_token.values())
    assert "".join(piece for piece in table.pieces if piece.isascii()).startswith("Anna moves her")


def test_a_model_s_tokens_need_no_torch(tiny_folder) -> None:
    code = (
        "import sys\nfrom luthier.scratch.token_table import token_table\n"
        f"token_table('a', {str(tiny_folder('bert'))!r})\n"
        "print([n for n in ('torch', 'transformers') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_the_verb_prints_all_tokenizers(tiny_folder, luthier_says) -> None:
    names = [str(tiny_folder(kind)) for kind in ("decoder-plain", "bert")]
    options = [part for name in names for part in ("--tokenizer", name)]
    said = luthier_says("tokens", "Anna: Lunch?", *options, "--json")
    rows = json.loads(said.out)
    assert [row["tokenizer"] for row in rows] == names and rows[0]["ids"] == rows[1]["ids"]
    said = luthier_says("tokens", "Anna: Lunch?", *options)
    assert said.code == 0 and "|Anna" in said.out and "bytes a token" in said.out


@pytest.mark.parametrize("kind", ["decoder-plain", "bert", "t5-tied"])
def test_neighbours_are_near_and_never_the_token_itself(kind: str, tiny_folder) -> None:
    found = neighbours("Anna: Friday", looked_into(str(tiny_folder(kind))), count=4)
    assert len(found) == len(token_table("Anna: Friday", str(tiny_folder(kind))).ids)
    for one in found:
        for near in (one.static, one.in_context):
            cosines = [cosine for _, cosine in near]
            assert cosines == sorted(cosines, reverse=True) and len(near) == 4
            assert all(-1.001 <= cosine <= 1.001 for cosine in cosines)


def test_what_is_no_tokenizer_is_a_sentence(tmp_path: Path, luthier_says) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="no tokenizer file"):
        token_table("a", str(tmp_path / "tokenizer.json"))
    said = luthier_says("tokens", "a", "--tokenizer", "nowhere")
    assert said.code == 2
    one_sentence(said.err)
