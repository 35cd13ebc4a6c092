"""Every function that `luthier` offers in Python, under values that nobody should give, read from its signature.

A call returns, or raises a LuthierError of one sentence: never another error for a value of the right type, never a
wait without end, nothing outside the folder. What a function takes is read from its annotations, so a new argument is
tried at once, and a new function fails the test until it stands in CALLS.
"""

from __future__ import annotations

import inspect
import shutil
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest

import luthier
from luthier.arms.planned import PlanSpec
from luthier.errors import LuthierError
from tests.cli.ground import LORA
from tests.cli.test_extremes import within

SECONDS = 30
TRAINS = ("study", "multitask")  # whose values take minutes together
WORDS = ("", " ", "\x00", "\ud800", "a" * 10_000, "../..", "-1", "\x1b[31m", "{}", "caf\udce9")
PLACES = ("missing", "folder", "file.txt", "", "/dev/null", "b" * 300, "c/" * 3000, "\x00", "caf\udce9")
VALUES: dict[Any, tuple[Any, ...]] = {
    int: (-1, 0, 2**32, 10**30),
    float: (float("nan"), float("inf"), float("-inf"), 1e300, 1e-300, 0.0, -0.0, -1.0),
    str: WORDS,
    Path: tuple(map(Path, PLACES)),
    bool: (True, False),
}


def calls(here: Path) -> dict[str, dict[str, Any]]:
    """name -> arguments under which the function ends well in this folder."""
    task = luthier.load_task("task")
    example = task.test[0]
    model = luthier.load("model", precision="fp32")
    answers = [luthier.Answer(example.id, "Ann asks.", (5, 6), "end")]
    scores = luthier.score(answers, [example])
    columns = {"path": "answers.csv", "reference": "summary", "cluster": "none"}
    prompt = model.renderer.prompt(example, "{input}")
    lines = {"file": "answers.csv", "input": "dialogue", "out": "out.jsonl"}
    return {
        "answer": {"source": "trained", "arm": LORA, **lines},
        "ask": {"source": "trained", "text": "Ann: Lunch?", "arm": LORA},
        "ask_probabilities": {"source": "trained", "text": "Ann: Lunch?", "arm": LORA},
        "check_task": {"task": task, "model": model},
        "compare": {"arms": {"a": scores, "b": scores}},
        "compare_columns": columns | {"answers": ["other", "dialogue"]},
        "fold": {"events": [], "tokenizer": model.tokenizer},
        "from_columns": columns | {"answers": ["other", "dialogue"]},
        "generate": {"model": model, "requests": [luthier.Request("r", (5, 6), 2)]},
        "init_task": {"folder": "new", "source": "answers.csv", "input": "dialogue", "target": "summary"},
        "judge": {"folder": Path("trained"), "url": "http://127.0.0.1:9", "model": "m"},
        "load": {"name": "model"},
        "load_task": {"folder_or_name": "task"},
        "merge": {"source": "trained", "folder": "merged", "arm": LORA, "differ": 9},
        "merge_arm": {"path": Path("trained/arms") / LORA, "folder": Path("merged"), "differ": 9},
        "model_of": {"text": "lora"},
        "multitask": {"tasks": ["task", "other"], "model": "model", "arms": "nothing", "out": "out"},
        "open_ballot": {"folder": Path("trained")},
        "overview": {"folder": Path("trained")},
        "bench": {"sources": ["folder"], "tasks": ["luthier_pairs"]},  # no model is there, or no lm-eval
        "panel": {"source": "folder"},  # no model is there
        "paint": {"prompt": prompt, "tokenizer": model.tokenizer},
        "plan": {"model": "model"},
        "prompt_of": {"task": task, "arm": "zero-shot", "model": model},
        "push": {"folder": "folder", "name": "you/mine"},  # nothing that was shipped, so no hub is asked
        "report": {"folder": Path("trained")},
        "score": {"answers": answers, "examples": [example]},
        "score_columns": columns | {"answer": "other"},
        "serve": {"sources": ["folder"], "port": 0},  # no model is there, so nothing is served
        "ship": {"study": "study", "out": "out"},
        "study": {"task": "task", "model": "model", "arms": "copy-3", "test": 3, "out": "out"},
        "verify": {"folder": "folder"},
    }


FUNCTIONS = [name for name in luthier.__all__ if inspect.isroutine(getattr(luthier, name))]


@pytest.fixture
def here(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ground, tmp_path / "here")
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "here" / "cache"))
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("luthier.rating.endpoint.FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr("luthier.rating.endpoint.TRIES", 1)
    return tmp_path / "here"


def annotations_of(function: Any) -> dict[str, Any]:
    home = inspect.getmodule(inspect.unwrap(function))
    hints: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        try:
            kind = parameter.annotation
            hints[parameter.name] = eval(kind, vars(home)) if isinstance(kind, str) else kind
        except NameError:  # a name for type checkers alone: a record, and no plain value
            hints[parameter.name] = object
    if function is luthier.plan:  # its keywords are the keys of a settings model
        hints |= {name: field.annotation for name, field in PlanSpec.model_fields.items()}
        del hints["asked"]
    return hints


def values_of(kind: Any) -> Iterator[Any]:
    """Values of a type that nobody should give."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in VALUES:
        yield from VALUES[kind]
    elif kind is types.NoneType:
        yield None
    elif origin in (Union, types.UnionType):
        for one in inner:
            yield from values_of(one)
    elif origin is Literal:
        yield "nothing of these"
    elif origin in (list, tuple, Sequence, Collection, Iterable):
        yield from ([], ())
        yield from ([one] for one in values_of(inner[0])) if inner and inner[0] in VALUES else ()
        yield from ([one, one] for one in ("a", "")) if inner and inner[0] is str else ()
    elif origin in (dict, Mapping):
        yield {}
        if inner and inner[0] is str and inner[1] is typing.Any:
            yield from (
                {"nothing": 1},
                {"": None},
                {"max_new_tokens": -1},
                {"rank": 10**30},
                {"temperature": float("nan")},
            )


def test_every_function_is_here(here: Path) -> None:
    assert set(calls(here)) == set(FUNCTIONS)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in TRAINS else []) for name in FUNCTIONS]
)
def test_no_value_of_an_argument_ends_in_another_error(name: str, here: Path) -> None:
    given, function = calls(here)[name], getattr(luthier, name)
    around, wrong, tried = sorted(here.parent.iterdir()), [], 0
    for parameter, kind in annotations_of(function).items():
        if kind is object:
            continue
        for value in values_of(kind):
            if parameter == "model" and value is None:  # the packaged model, which takes minutes
                continue
            tried += 1
            try:
                with within(SECONDS):
                    result = function(**given | {parameter: value})
                    if inspect.isgenerator(result):
                        list(result)
            except LuthierError as refused:
                if not str(refused).strip():
                    wrong.append(f"{parameter}={str(value)[:60]!r}: an error without a sentence")
            except BaseException as error:
                wrong.append(f"{parameter}={str(value)[:60]!r}: {type(error).__name__}: {str(error)[:150]}")
            for made in ("new", "out", "merged"):
                shutil.rmtree(here / made, ignore_errors=True)
    print(f"{name}: {tried} values")
    assert sorted(here.parent.iterdir()) == around
    assert not wrong, f"{len(wrong)} of {tried}:\n" + "\n".join(wrong)
