"""Names of an answer that its input does not support.

    unknown_names(answer, source) --> [(start, end)]

A name is a capitalised word that is no common word; "Ben" is supported by "Benjamin", "UK" by "United Kingdom",
"Chinese" by "China", and a spelling with one letter changed counts as the same name. At the start of a sentence every
word has a capital: there a word counts as a name only where its ending and the next words suggest one. English only;
rules and closed lists of words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from luthier.scoring.dates import CALENDAR
from luthier.scoring.numbers import before, behind
from luthier.scoring.source import WORD, Source, bare

_TITLES = {"mr", "mrs", "ms", "miss", "mister", "dr", "doctor", "prof", "professor", "sir", "madam", "aunt", "uncle"}
_TITLES |= {"grandma", "grandpa", "mum", "mom", "dad", "st", "saint", "captain", "officer", "nurse", "president"}
_COMMON = """
    a about above according additionally after afterwards again all almost along already also although always am
    an and another any anybody anyone anything anyway apart apparently are around as aside at away back based
    because before besides between beyond bilateral both briefly but by can caller callers cannot children clerk
    client colleagues could customer customers dad daughter despite did different do does due during each earlier
    either else even eventually every everybody everyone everything except family father few finally first five
    following for four friend friends from further furthermore had half has have having he hence her here hers
    herself him his how however i if in initially instead into is it its itself just last lastly later less like
    locals look lots many may maybe me meanwhile members men more moreover most mother mum must my neither never
    nevertheless next nine no nobody none nor not nothing now of off often ok okay on once one only onto or other
    others otherwise our out over overall owing parent parents participants part past people per perhaps please
    previously probably rather regarding review right same second see seven several she should significant
    similarly since six so some somebody someone something sometimes soon speaker speakers staff still students
    such teachers ten than that the their them then there therefore these they third this those though three
    through throughout thus to today together tomorrow tonight too toward towards two unable under unfortunately
    unless unlike until unwilling up upon us using usually various very was we well were what whatever when
    whenever where whereas whether which while who whoever whose why will with within without women would yes
    yesterday yet you your yours
"""
_CLOSED = set(_COMMON.split())  # words that begin sentences
_ENGLISH = {"english", "internet", "god", "christian", "western", "tv", "i'm", "i'd", "i'll", "i've", "ok", "email"}
_CALENDAR = {*CALENDAR, *(word + "s" for word in CALENDAR)}  # dates, which dates.py reads
_ORIGINS = re.compile(r"(?:n|an|ian|ean|ese|ish|i|ic|ch|s|es|er|ers|man|men)$")
_ABBREVIATION = re.compile(
    r"[A-Z]{2,5}s?|[A-Z][a-z]?[A-Z][a-z]?[A-Z]?|[A-Z][^aeiouyAEIOUY]{1,3}"
)  # MRI, MIs, EtOH, Htn
_DISCIPLINE = re.compile(r"(?:logy|iatry|ics|ician|tion|ment|osis|itis|versity)$")  # "the Neurology clinic"
# At the start of a sentence every word has a capital: these endings are those of common words, not of names.
_COMMON_ENDINGS = re.compile(
    r"(?:ing|ed|ly|tion|tions|sion|ment|ments|ness|ity|ies|ous|ive|ful|less|able|ible|al|ic|ics|"
    r"ure|ures|ance|ence|ism|ists|ers|ors|logy|phy|itis|osis|emia|ects|ents|ages)$"
)


def unknown_names(answer: str, source: Source) -> Iterator[tuple[int, int]]:
    """The (start, end) of each unknown name, in order. Adjacent words are one name. `answer` has no speaker tags."""
    run: list[re.Match[str]] = []
    for match in WORD.finditer(answer):
        unknown = _is_unknown(match, answer, source)
        if run and not (unknown and answer[run[-1].end() : match.start()].strip(" -") == ""):
            yield from _as_one(run, source)
            run = []
        if unknown:
            run.append(match)
    if run:
        yield from _as_one(run, source)


def _as_one(run: list[re.Match[str]], source: Source) -> Iterator[tuple[int, int]]:
    """The run as one name, unless the input has its initials: "United States" is supported by "U S"."""
    if len(run) == 1 or "".join(match.group()[0].lower() for match in run) not in source.words:
        yield run[0].start(), run[-1].start() + len(bare(run[-1].group()))


def _is_unknown(match: re.Match[str], answer: str, source: Source) -> bool:
    word = bare(match.group())
    low = word.lower()
    if not word[:1].isupper() or len(word) < 2 or _ABBREVIATION.fullmatch(word):
        return False
    if _DISCIPLINE.search(low) or _compound_in_source(match, answer, source):
        return False
    if (
        low in _CALENDAR
        or low in _TITLES
        or low in _CLOSED
        or low in _ENGLISH
        or low in source.lower
        or low in source.common
    ):
        return False
    if _starts_sentence(answer, match.start()) and not _looks_like_a_name(match, answer, source):
        return False
    return not _is_in_source(word, source)


def _compound_in_source(match: re.Match[str], answer: str, source: Source) -> bool:
    """Whether the input has the whole compound of the word: "Wal-Mart" is supported by "Walmart"."""
    tied = re.search(r"[A-Za-z]+[-/]$", before(answer, match.start()))
    led = re.match(r"[-/][A-Za-z]+", behind(answer, match.end()))
    whole = (tied.group() if tied else "") + match.group() + (led.group() if led else "")
    return bool(tied or led) and re.sub(r"[^a-z]", "", whole.lower()) in source.squeezed


def _starts_sentence(answer: str, start: int) -> bool:
    ahead = before(answer, start).rstrip(" \t\"'“‘(-•*")
    if not ahead or ahead[-1] in "\n!?:;":
        return True
    return ahead[-1] == "." and not re.search(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|[A-Z])\.$", ahead)


_SAYS = re.compile(  # what follows a person's name and seldom another word
    r"(?:['’]s\b|['’]ll\b|,? and [A-Z#]|, (?:who|whose|the|an?|his|her)\b| (?:is|was|has|had|will|would|can|could|"
    r"does|did|"
    r"thinks?|isn|wasn|hasn|doesn|didn|won|who|may|must|should|also|then|finally|in [a-z]+ (?:will|is|has)|"
    r"came|went|left|got|took|gave|said|told|made|found|kept|let|bought|paid|sent|lost|broke|brought|felt|knew|saw|"
    r"[a-z]{3,}ed|(?!this|its|is|was|as|has|pulses|series|status)[a-z]{2,}(?<!ss|us|is)s)\b)"
)


def _looks_like_a_name(match: re.Match[str], answer: str, source: Source) -> bool:
    """At the start of a sentence: no common ending, and what follows is what follows a person's name."""
    word = bare(match.group())
    if _COMMON_ENDINGS.search(word.lower()) and len(word) > 4:
        return False
    surname = re.match(r" ([A-Z]\w+)", behind(answer, match.end()))
    if surname and (surname[1] in source.speakers or not _is_in_source(surname[1], source)):
        return True
    return bool(_SAYS.match(answer, match.start() + len(word)))


def _is_in_source(word: str, source: Source) -> bool:
    low = word.lower()
    if low in source.words or low.removesuffix("s") in source.words or f"{low}s" in source.words:
        return True
    if len(low) >= 5 and re.sub(r"[^a-z]", "", low) in source.squeezed:
        return True
    if word.isupper() and low in source.initials:
        return True
    return any(_same_name(low, source_name) for source_name in source.like(low))


@lru_cache(maxsize=1 << 16)
def _same_name(name: str, source_name: str) -> bool:
    """Whether both are one name: a short form (Ben), a people and its country, or one letter changed in a long name."""
    if len(name) >= 3 and source_name.startswith(name) and len(source_name) > 3:
        return True
    if len(source_name) >= 4 and name.startswith(source_name):
        return True
    stems = _ORIGINS.sub("", name), _ORIGINS.sub("", source_name)
    shared = _shared_start(name, source_name)
    if shared >= 4 and stems[0] != name and (shared >= len(stems[0]) or shared >= len(source_name) - 2):
        return True
    return min(len(name), len(source_name)) >= 5 and name[0] == source_name[0] and _one_apart(name, source_name)


def _shared_start(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _one_apart(a: str, b: str) -> bool:
    """Whether one letter changed, added, left out, or two neighbours swapped make b of a."""
    if abs(len(a) - len(b)) > 1:
        return False
    at = _shared_start(a, b)
    x, y = a[at:], b[at:]
    return x[1:] == y[1:] or x[1:] == y or x == y[1:] or (x[:2] == y[1::-1] and x[2:] == y[2:])
