"""Minimal pairs: two sentences that differ in one place, of which one is right. A model should find it likelier.

Ten phenomena of sixty pairs, from templates and a seed. The method is that of BLiMP (Warstadt et al. 2020); templates
and words are ours. Both sentences of a pair hold the same words in the same number but for the place that differs, so
that length alone decides little.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from luthier.suites.items import Pair

PAIRS_A_PHENOMENON, SEED = 60, 0

_PEOPLE = ("teacher", "doctor", "farmer", "neighbour", "student", "driver", "painter", "baker", "nurse", "singer")
_THINGS = ("chair", "lamp", "letter", "window", "basket", "bottle", "engine", "ladder", "mirror", "bridge")
_HAPPENS = (("sleeps", "sleep"), ("smiles", "smile"), ("works", "work"), ("waits", "wait"), ("sings", "sing"),
            ("runs", "run"), ("listens", "listen"), ("laughs", "laugh"))  # fmt: skip
_BESIDE = ("near", "behind", "beside", "with", "in front of")
_WHEN = ("every morning", "in the garden", "after lunch", "at the station", "in the kitchen", "on Sundays")
_SHE, _HE = ("Anna", "Maria", "Julia", "Sarah", "Emma"), ("Peter", "David", "Thomas", "Robert", "Daniel")
_SAW = ("saw", "found", "lost", "sold", "painted", "carried", "bought")

Sentences = tuple[str, str]  # the right one, the wrong one


def _agreement(draw: random.Random) -> Sentences:
    person, (one, many), when = draw.choice(_PEOPLE), draw.choice(_HAPPENS), draw.choice(_WHEN)
    if draw.random() < 0.5:
        return f"The {person} {one} {when}.", f"The {person} {many} {when}."
    return f"The {person}s {many} {when}.", f"The {person}s {one} {when}."


def _agreement_at_a_distance(draw: random.Random) -> Sentences:
    """Another noun of the other number stands between subject and verb."""
    person, thing = draw.choice(_PEOPLE), draw.choice(_THINGS)
    (one, many), place = draw.choice(_HAPPENS), draw.choice(_BESIDE)
    if draw.random() < 0.5:
        return f"The {person} {place} the {thing}s {one}.", f"The {person} {place} the {thing}s {many}."
    return f"The {person}s {place} the {thing} {many}.", f"The {person}s {place} the {thing} {one}."


def _determiner(draw: random.Random) -> Sentences:
    name, verb, thing = draw.choice(_SHE + _HE), draw.choice(_SAW), draw.choice(_THINGS)
    if draw.random() < 0.5:
        word = draw.choice(("this", "that"))
        return f"{name} {verb} {word} {thing} yesterday.", f"{name} {verb} {word} {thing}s yesterday."
    word = draw.choice(("these", "those"))
    return f"{name} {verb} {word} {thing}s yesterday.", f"{name} {verb} {word} {thing} yesterday."


def _reflexive(draw: random.Random) -> Sentences:
    verb = draw.choice(("hurt", "saw", "described", "helped", "praised", "washed", "taught"))
    where = draw.choice(("yesterday", "in the mirror", "again", "last week"))
    kind = draw.randrange(3)
    if kind == 2:
        return (
            f"The {(person := draw.choice(_PEOPLE))}s {verb} themselves {where}.",
            f"The {person}s {verb} {draw.choice(('herself', 'himself'))} {where}.",
        )
    name = draw.choice((_SHE, _HE)[kind])
    right, wrong = ("herself", "himself") if kind == 0 else ("himself", "herself")
    return f"{name} {verb} {right} {where}.", f"{name} {verb} {wrong} {where}."


def _participle(draw: random.Random) -> Sentences:
    past, participle, thing = draw.choice(
        (("wrote", "written", "the letter"), ("broke", "broken", "the cup"), ("ate", "eaten", "the bread"),
         ("took", "taken", "the bus"), ("chose", "chosen", "a colour"), ("drove", "driven", "the van"),
         ("saw", "seen", "the film"), ("gave", "given", "a talk"), ("drew", "drawn", "a map"))
    )  # fmt: skip
    name = draw.choice(_SHE + _HE)
    if draw.random() < 0.5:
        return f"{name} has {participle} {thing}.", f"{name} has {past} {thing}."
    return f"Yesterday {name} {past} {thing}.", f"Yesterday {name} {participle} {thing}."


def _polarity(draw: random.Random) -> Sentences:
    """`ever` and `any` need a negation before them."""
    verb = draw.choice(("visited", "heard of", "liked", "read about", "talked about", "asked for"))
    what = draw.choice(("that island", "this book", "the old mill", "our town", "the red house", "that song"))
    group = draw.choice((*(f"{person}s" for person in _PEOPLE), "children", "guests", "tourists"))
    if draw.random() < 0.5:
        return f"None of the {group} have ever {verb} {what}.", f"Most of the {group} have ever {verb} {what}."
    return f"No {group} have ever {verb} {what}.", f"Some {group} have ever {verb} {what}."


def _gap(draw: random.Random) -> Sentences:
    """What is asked for leaves a gap; what is told does not."""
    first, second = draw.choice(_SHE), draw.choice(_HE)
    knows, verb, thing = draw.choice(("knows", "remembers", "forgot")), draw.choice(_SAW), draw.choice(_THINGS)
    if draw.random() < 0.5:
        return f"{first} {knows} what {second} {verb}.", f"{first} {knows} that {second} {verb}."
    return f"{first} {knows} that {second} {verb} the {thing}.", f"{first} {knows} what {second} {verb} the {thing}."


def _transitivity(draw: random.Random) -> Sentences:
    """Some verbs take an object, and some do not."""
    person, other = draw.sample(_PEOPLE, 2)
    takes = draw.choice(("admired", "visited", "followed", "thanked", "invited", "noticed"))
    alone = draw.choice(("arrived", "slept", "disappeared", "smiled", "existed", "sneezed"))
    return f"The {person} {takes} the {other}.", f"The {person} {alone} the {other}."


def _countable(draw: random.Random) -> Sentences:
    place = draw.choice(("in the kitchen", "in the garage", "at the school", "on the table", "in this shop"))
    if draw.random() < 0.5:
        thing = draw.choice(_THINGS)
        return f"There are not many {thing}s {place}.", f"There are not much {thing}s {place}."
    stuff = draw.choice(("water", "bread", "furniture", "money", "milk", "sand", "rice", "butter"))
    return f"There is not much {stuff} {place}.", f"There is not many {stuff} {place}."


_FACTS = (  # (beginning, right, wrong): things that every child knows
    ("Ice is", "cold", "hot"), ("Fire is", "hot", "cold"), ("Sugar tastes", "sweet", "bitter"),
    ("The sky on a clear day is", "blue", "green"), ("Grass is usually", "green", "blue"),
    ("Snow is", "white", "black"), ("Coal is", "black", "white"), ("Elephants are very", "big", "small"),
    ("Ants are very", "small", "big"), ("A feather is", "light", "heavy"), ("A stone is", "hard", "soft"),
    ("A pillow is", "soft", "hard"), ("The opposite of up is", "down", "left"),
    ("The opposite of early is", "late", "long"), ("The opposite of full is", "empty", "wet"),
    ("A week has seven", "days", "hours"), ("A year has twelve", "months", "weeks"),
    ("An hour has sixty", "minutes", "days"), ("A spider has eight", "legs", "wings"),
    ("A bird can", "fly", "read"), ("A fish can", "swim", "walk"), ("A dog can", "bark", "sing"),
    ("Cows give", "milk", "juice"), ("Hens lay", "eggs", "bricks"), ("Bees make", "honey", "bread"),
    ("People read", "books", "spoons"), ("People drink", "water", "sand"), ("We see with our", "eyes", "ears"),
    ("We hear with our", "ears", "eyes"), ("We smell with our", "nose", "hand"),
)  # fmt: skip
_SAID_AS = ("{}.", "Everybody knows this: {}.")


def _fact(draw: random.Random) -> Sentences:
    (begins, right, wrong), said = draw.choice(_FACTS), draw.choice(_SAID_AS)
    return said.format(f"{begins} {right}"), said.format(f"{begins} {wrong}")


PHENOMENA: dict[str, Callable[[random.Random], Sentences]] = {
    "agreement": _agreement,
    "agreement-at-a-distance": _agreement_at_a_distance,
    "determiner": _determiner,
    "reflexive": _reflexive,
    "participle": _participle,
    "polarity": _polarity,
    "gap": _gap,
    "transitivity": _transitivity,
    "countable": _countable,
    "fact": _fact,
}


@cache
def minimal_pairs() -> tuple[Pair, ...]:
    """All pairs, the same in every process; none is there twice."""
    pairs = []
    for phenomenon, make in PHENOMENA.items():
        draw, made = random.Random(f"pairs-{phenomenon}-{SEED}"), dict[Sentences, None]()
        while len(made) < PAIRS_A_PHENOMENON:
            made.setdefault(make(draw))
        pairs += [Pair(f"{phenomenon}-{i}", phenomenon, *both) for i, both in enumerate(made, 1)]
    return tuple(pairs)
