"""Two processes that train a tokenizer get the same one, of every kind; what is lossless gives texts back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from luthier.errors import SettingsError
from luthier.scratch.vocabulary import END, KINDS, vocabulary

TEXTS = [
    "The boat left the harbour at noon. Nobody on the pier could say when it would be back.",
    "def mean(values):\n    return sum(values) / len(values)  # 3.14\n",
    "Das Schiff verließ mittags den Hafen. 船在中午离开了港口。 \x00\x7f ## ### #",
] * 3
TRAIN = """
import sys
from pathlib import Path
from luthier.scratch.vocabulary import vocabulary
from tests.scratch.test_vocabulary import TEXTS
print(vocabulary(sys.argv[1], 420, TEXTS, Path(sys.argv[2])).sha256)
"""


def trained_elsewhere(kind: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", TRAIN, kind, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_two_processes_train_the_same_tokenizer(kind: str, tmp_path: Path) -> None:
    assert trained_elsewhere(kind, tmp_path / "a") == trained_elsewhere(kind, tmp_path / "b")


def test_unigram_is_trained_once_and_its_file_is_read_again(tmp_path: Path) -> None:
    assert trained_elsewhere("unigram", tmp_path) == trained_elsewhere("unigram", tmp_path)
    assert len(list(tmp_path.glob("tokenizer-unigram-420-*.json"))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_has_its_size_and_an_end(kind: str, tmp_path: Path) -> None:
    made = vocabulary(kind, 420, TEXTS, tmp_path)
    assert made.size <= 420 and made.end == made.size - 1
    assert made.tokenizer.id_to_token(made.end) == END
    ids = made.tokenizer.encode(f"a{END}b").ids
    assert made.end in ids
    if kind != "wordpiece":  # all others are lossless
        for text in [*TEXTS, "never seen: ß漢😀"]:
            assert made.tokenizer.decode(made.tokenizer.encode(text).ids) == text


def test_wordpiece_finds_no_inner_sign_in_a_text_that_spells_one(tmp_path: Path) -> None:
    made = vocabulary("wordpiece", 420, TEXTS, tmp_path)
    assert made.tokenizer.encode("##a").tokens[:2] == ["#", "#"]


def test_what_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="choose one of bytes, bpe, wordpiece, unigram"):
        vocabulary("words", 420, TEXTS, tmp_path)
    with pytest.raises(SettingsError, match="give a number from 257"):
        vocabulary("bpe", 256, TEXTS, tmp_path)
    with pytest.raises(SettingsError, match=r"no room for the \d+ signs"):
        vocabulary("wordpiece", 300, ["".join(map(chr, range(0x4E00, 0x4F00)))], tmp_path)
