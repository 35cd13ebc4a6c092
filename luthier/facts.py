"""Names, numbers, amounts, times and dates in an answer that its input does not hold.

    Source(input, common)       what an input supports, read once
    unsupported(answer, source) --> [Fact(kind, text, start, end, why)]

ROUGE does not see a wrong name: one word of twenty. This check sees nothing else. It looks for things that can be
looked up in the input, and says where they stand in the answer. It prefers silence to a false alarm:

- A name is a capitalised word that is no common word; "Ben" is supported by "Benjamin", "UK" by "United Kingdom",
  "Chinese" by "China", and a spelling one letter off counts as the same name.
- A number is supported however it is written (quantities.py), by a sum or difference of two numbers of a short input,
  and one and two are never questioned: "both", "two options" count what the input lists.
- A word of capitals (MRI) is an abbreviation, and abbreviations are not questioned.

What it cannot see: negation, omission, swapped roles, an invented event, and a wrong name or number that stands
elsewhere in the input. docs/facts.md has the measured recall and false alarms. Deterministic; no model, no network.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from luthier.quantities import CALENDAR, Quantity, Reading, loose_readings, quantities

KINDS = ("name", "number", "amount", "time", "date")
NOT_CHECKED = ("negation", "omission", "swapped roles", "invented event", "wrong but present in the input")

_SMALL = 2  # numbers up to here are counts of what was said ("both", "two reasons") more often than facts
_CONVERSIONS = {  # unit -> what to multiply with to get the number in a neighbouring unit
    "hour": (1 / 24, 60.0), "minute": (1 / 60,), "day": (1 / 7, 24.0), "week": (7.0, 1 / 4), "month": (1 / 12, 4.0),
    "year": (12.0, 0.1),
}  # fmt: skip
_FEW = 3  # inputs with at most this many numbers: sums and differences of two are taken as derived

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_TAG = re.compile(r"#\w+#")
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
_CALENDAR = {*CALENDAR, *(word + "s" for word in CALENDAR)}  # dates, which quantities.py reads
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


@dataclass(frozen=True)
class Fact:
    """Something in an answer that its input does not support. answer[start:end] == text; `kind` is one of KINDS."""

    kind: str
    text: str
    start: int
    end: int
    why: str


@dataclass(frozen=True)
class Source:
    """An input as the thing that answers are held against.

    text: the input. common: words that are known to be common ones, lower case; a study gives those that its inputs
    write in lower case (`common_words`), so that "Traffic" at the start of a sentence is not taken for a name.
    """

    text: str
    common: Collection[str] = field(default=frozenset(), repr=False)

    @cached_property
    def tags(self) -> frozenset[str]:
        return frozenset(tag.lower() for tag in _TAG.findall(self.text))

    @cached_property
    def words(self) -> frozenset[str]:
        """Lower-case words, without possessive; letters said one by one ("M R I") also as one word."""
        text = _TAG.sub(" ", self.text)
        found = {form for word in _WORD.findall(text) for form in _forms(word)}
        spelled = re.findall(r"\b(?:[A-Za-z][ .\-]+){1,}[A-Za-z]\b", text)
        return frozenset(found | {re.sub(r"[^a-z]", "", run.lower()) for run in spelled} - {""})

    @cached_property
    def speakers(self) -> frozenset[str]:
        """Capitalised words of the labels before a colon."""
        labels = re.findall(r"^([^:\n]{1,40}):", self.text, flags=re.MULTILINE)
        return frozenset(word for label in labels for word in re.findall(r"[A-Z]\w+", label))

    @cached_property
    def lower(self) -> frozenset[str]:
        """Words that the input writes in lower case somewhere."""
        return frozenset(re.findall(r"\b[a-z]+\b", self.text))

    @cached_property
    def squeezed(self) -> str:
        """The letters alone: "WebTracker" is in "Web Tracker"."""
        return re.sub(r"[^a-z]", "", _TAG.sub(" ", self.text).lower())

    @cached_property
    def initials(self) -> str:
        """The first letters of all words: "UK" is in "the United Kingdom"."""
        return "".join(word[0].lower() for word in _WORD.findall(_TAG.sub(" ", self.text)))

    @cached_property
    def readings(self) -> frozenset[Reading]:
        return loose_readings(_TAG.sub(_blank, self.text))

    @cached_property
    def derived(self) -> frozenset[float]:
        """Sums and differences of two numbers; of a long list of numbers they would support anything."""
        numbers = {float(q) for found in self.quantities for q in found.readings if isinstance(q, float)}
        if len(numbers) > _FEW:
            return frozenset()
        return frozenset(value for a in numbers for b in numbers for value in (a + b, abs(a - b)) if a != b)

    @cached_property
    def quantities(self) -> list[Quantity]:
        return quantities(_TAG.sub(_blank, self.text))


def common_words(texts: Iterable[str]) -> frozenset[str]:
    """The words that any of the texts writes in lower case: no names."""
    return frozenset(word for text in texts for word in re.findall(r"\b[a-z]+\b", text))


def unsupported(answer: str, source: Source) -> list[Fact]:
    """The facts of an answer that its source does not support, in the order in which they stand."""
    masked = _TAG.sub(_blank, answer)
    found = [*_tags(answer, source), *_quantities(masked, source), *_names(masked, source)]
    return sorted(found, key=lambda fact: fact.start)


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def _tags(answer: str, source: Source) -> Iterator[Fact]:
    for match in _TAG.finditer(answer):
        if match.group().lower() not in source.tags:
            yield Fact("name", match.group(), *match.span(), "no such speaker in the input")


# -------------------------------------------------------------------------------------------------------- quantities


def _quantities(answer: str, source: Source) -> Iterator[Fact]:
    for quantity in quantities(answer):
        if not _supported(quantity, source, answer):
            why = f"no such {quantity.kind} in the input"
            yield Fact(quantity.kind, quantity.text, quantity.start, quantity.end, why)


def _supported(quantity: Quantity, source: Source, answer: str) -> bool:
    known = source.readings
    if quantity.kind == "time":
        return any(_time_known(reading[1], known) for reading in quantity.readings)
    if quantity.readings & known or _only_counts(quantity, answer):
        return True
    clock = _says_when(quantity, answer)
    for value in (reading for reading in quantity.readings if isinstance(reading, float)):
        derived = value in source.derived and not quantity.text[-1].isalpha()
        if (value <= _SMALL and not clock) or derived:
            return True
        if _converted(value, answer[quantity.end :]) & {*known, 1.0}:  # 1: "a day" is known without a number
            return True
    return bool(quantity.parts) and _parts_known(quantity.parts, known)


def _says_when(quantity: Quantity, answer: str) -> bool:
    """ "at two" is a time, "two reasons" and "at one's own home" are none."""
    hour = re.search(r"\b(?:at|by|until|till)\s$", answer[: quantity.start]) and quantity.text in (
        "1",
        "2",
        "one",
        "two",
    )
    return bool(hour) and not re.match(r"['’]| (?:time|end|of|or)\b", answer[quantity.end :])


def _only_counts(quantity: Quantity, answer: str) -> bool:
    """The "3." of a list, "third" as a rank, and "five other ...", which is what is left of something."""
    before, behind = answer[: quantity.start].rstrip(" "), answer[quantity.end :]
    listed = quantity.text.isdigit() and re.match(r"[.)]\s", behind) and (not before or before[-1] in ".\n;:!?")
    rest = re.match(r"\s(?:other|others|more|remaining)\b", behind) and quantity.text.isalpha()
    return bool(listed or rest) or quantity.text.lower() == "third"


def _converted(value: float, behind: str) -> set[Reading]:
    """The same length of time in another unit, cents as the money's hundredth: "24 hours" is "a day"."""
    unit = re.match(r"[\s-]*([a-z]+?)s?\b", behind)
    factors = _CONVERSIONS.get(unit[1], ()) if unit else ()
    return {value * factor for factor in (*factors, 0.01, 100.0)}


def _parts_known(parts: tuple[frozenset[Reading], ...], known: frozenset[Reading]) -> bool:
    """All parts; but the year of a full date may come from what the writer knew when day and month are right."""
    return all(part & known for part in (parts[:2] if len(parts) == 3 else parts))


def _time_known(minutes: int, known: frozenset[Reading]) -> bool:
    """By the same time; or a full hour by its number; or 5:30 by "five thirty", read as 530."""
    hour, minute = divmod(minutes, 60)
    hours = (hour, hour + 12) if hour else (12, 0, 24)
    if ("clock", minutes) in known:
        return True
    return any((float(h) if minute == 0 else float(100 * h + minute)) in known for h in hours)


# ------------------------------------------------------------------------------------------------------------- names


def _names(answer: str, source: Source) -> Iterator[Fact]:
    """Runs of capitalised words that the input does not know, each run one fact."""
    run: list[re.Match[str]] = []
    for match in _WORD.finditer(answer):
        unknown = _is_unknown_name(match, answer, source)
        if run and not (unknown and answer[run[-1].end() : match.start()].strip(" -.") == ""):
            yield from _name_fact(answer, run, source)
            run = []
        if unknown:
            run.append(match)
    if run:
        yield from _name_fact(answer, run, source)


def _name_fact(answer: str, run: list[re.Match[str]], source: Source) -> Iterator[Fact]:
    if len(run) > 1 and "".join(match.group()[0].lower() for match in run) in source.words:
        return  # "United States" by "U S"
    start, end = run[0].start(), run[-1].start() + len(_bare(run[-1].group()))
    yield Fact("name", answer[start:end], start, end, "no such name in the input")


def _is_unknown_name(match: re.Match[str], answer: str, source: Source) -> bool:
    word = _bare(match.group())
    low = word.lower()
    if not word[:1].isupper() or len(word) < 2 or _ABBREVIATION.fullmatch(word):
        return False
    if _DISCIPLINE.search(low) or _compound_known(match, answer, source):
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
    return not _name_known(word, source)


def _compound_known(match: re.Match[str], answer: str, source: Source) -> bool:
    """Whether the word with what is tied to it is known: "Wal-Mart" by "Walmart"."""
    before = re.search(r"[A-Za-z]+[-/]$", answer[: match.start()])
    behind = re.match(r"[-/][A-Za-z]+", answer[match.end() :])
    whole = (before.group() if before else "") + match.group() + (behind.group() if behind else "")
    return bool(before or behind) and re.sub(r"[^a-z]", "", whole.lower()) in source.squeezed


def _bare(word: str) -> str:
    """Without a possessive or a contraction: "Anna's" -> "Anna"; "O'Brien" stays."""
    return re.sub(r"['’](?:s|ll|d|re|ve|m|t)?$", "", word)


def _forms(word: str) -> set[str]:
    low = word.lower()
    return {low, _bare(low)} | set(re.split(r"['’]", low)) - {""}


def _starts_sentence(answer: str, start: int) -> bool:
    before = answer[:start].rstrip(" \t\"'“‘(-•*")
    if not before or before[-1] in "\n!?:;":
        return True
    return before[-1] == "." and not re.search(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|[A-Z])\.$", before)


_SAYS = re.compile(  # what follows a person's name and seldom another word
    r"(?:['’]s\b|['’]ll\b|,? and [A-Z#]|, (?:who|whose|the|an?|his|her)\b| (?:is|was|has|had|will|would|can|could|"
    r"does|did|"
    r"thinks?|isn|wasn|hasn|doesn|didn|won|who|may|must|should|also|then|finally|in [a-z]+ (?:will|is|has)|"
    r"came|went|left|got|took|gave|said|told|made|found|kept|let|bought|paid|sent|lost|broke|brought|felt|knew|saw|"
    r"[a-z]{3,}ed|(?!this|its|is|was|as|has|pulses|series|status)[a-z]{2,}(?<!ss|us|is)s)\b)"
)


def _looks_like_a_name(match: re.Match[str], answer: str, source: Source) -> bool:
    """At the start of a sentence: no common ending, and what follows is what follows a person's name."""
    word = _bare(match.group())
    if _COMMON_ENDINGS.search(word.lower()) and len(word) > 4:
        return False
    surname = re.match(r" ([A-Z]\w+)", answer[match.end() :])
    if surname and (surname[1] in source.speakers or not _name_known(surname[1], source)):
        return True
    return bool(_SAYS.match(answer, match.start() + len(word)))


def _name_known(word: str, source: Source) -> bool:
    low = word.lower()
    if low in source.words or low.removesuffix("s") in source.words or f"{low}s" in source.words:
        return True
    if len(low) >= 5 and re.sub(r"[^a-z]", "", low) in source.squeezed:
        return True
    if word.isupper() and low in source.initials:
        return True
    return any(_same_name(low, known) for known in source.words)


@lru_cache(maxsize=1 << 16)
def _same_name(name: str, known: str) -> bool:
    """A nickname by its beginning, a people by its country, or one letter's difference in a longer name."""
    if len(name) >= 3 and known.startswith(name) and len(known) > 3:
        return True
    if len(known) >= 4 and name.startswith(known):
        return True
    stems = _ORIGINS.sub("", name), _ORIGINS.sub("", known)
    shared = _shared_start(name, known)
    if shared >= 4 and stems[0] != name and (shared >= len(stems[0]) or shared >= len(known) - 2):
        return True
    return min(len(name), len(known)) >= 5 and name[0] == known[0] and _one_apart(name, known)


def _shared_start(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _one_apart(a: str, b: str) -> bool:
    """Whether one letter changed, added, left out, or two neighbours swapped make b of a."""
    if abs(len(a) - len(b)) > 1:
        return False
    at = _shared_start(a, b)
    x, y = a[at:], b[at:]
    return x[1:] == y[1:] or x[1:] == y or x == y[1:] or (x[:2] == y[1::-1] and x[2:] == y[2:])
