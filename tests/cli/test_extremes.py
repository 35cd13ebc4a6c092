"""Every option of every verb, read from the command line itself, under values that nobody should type.

Each run ends within SECONDS, with an exit code that exits.py documents, without a traceback, with one sentence on
standard error where it fails, and leaves nothing outside the folder that it was typed in.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

import luthier
from luthier.cli import exits
from tests.cli.ground import COMMANDS, make_files
from tests.commands import Said

SECONDS = 30
LONG = "a" * 10_000
WORDS = ("", " ", "\t\r\n", "\x1b[31mred\x1b[0m", "\x07\x7f\u202e", LONG, "caf\udce9", "../..", "-1", "{}", "a,b", "=")
VALUES: dict[Any, tuple[str, ...]] = {
    int: ("-1", "0", str(2**32 - 1), str(10**30), "1e20", "x"),
    float: ("nan", "inf", "-inf", "1e300", "1e-300", "0", "-0.0", "1e999", "x"),
    str: WORDS,
    Path: ("missing", "folder", "file.txt", "/dev/null", "b" * 300, "c/" * 3000, "", "caf\udce9", "\x1b[31m"),
}
# What a verb needs beside the option under test, in a folder where the names below are there.
NEEDS = {
    "init": ["new", "--from", "answers.csv", "--input", "dialogue", "--target", "summary"],
    "check": ["task"],
    "show": ["task", "--model", "model"],
    "study": ["task", "--model", "model", "--arms", "copy-3", "--test", "3", "--out", "out"],
    "multitask": ["task", "other", "--model", "model", "--arms", "lora", "--out", "out"],
    "ask": ["model", "Ann: Lunch?", "--max-new-tokens", "2", "--temperature", "0.7"],
    "answer": ["folder", "answers.csv", "--input", "dialogue", "--out", "out.jsonl"],  # no model is there
    "merge": ["study", "--arm", "zero-shot", "--out", "merged"],
    "report": ["study"],
    "rate": ["study"],
    "serve": ["folder", "--port", "0"],  # no model is there, so nothing is served
    "ship": ["study", "--out", "out"],
    "verify": ["folder"],
    "push": ["folder", "you/mine"],
    "plan": ["--model", "model", "--arm", "lora"],
    "tokens": ["text", "--tokenizer", "model"],
    "pretrain": ["--corpus", "file.txt", "--out", "out"],  # a text too short to hold any of it out
    "trial": ["recipe", "--minutes", "0.01", "--corpus", "file.txt", "--out", "out"],
    "scale fit": ["points.csv", "--out", "out", "--resamples", "20"],
    "scale run": ["--minutes", "0.01", "--corpus", "file.txt", "--out", "out"],
    "scale plan": ["--flops", "1e21"],
    "panel": ["folder"],  # no model is there, so nothing is asked
    "bench": ["folder", "--tasks", "luthier_pairs"],
    "learn": ["9.9"],  # a row that is not there: a lesson takes seconds
    "lab": ["1"],
    "quiz": ["1"],
    "kernel": ["--prefix", "out"],
    "hand-in": [],
    "class issue": ["out", "ann"],
    "class mark": ["folder", "file.txt"],
    "class show": ["folder"],
    "class export": ["--out", "out", "--variants", "2"],
    "sagemaker-train": [],
    "sagemaker-serve": [],
    "sagemaker-job": [
        "out",
        "--name",
        "n",
        "--image",
        "i",
        "--role",
        "arn:aws:iam::123456789012:role/r",
        "--s3",
        "s3://mine",
        "--channel",
        "task=task",
    ],
    "score": ["answers.csv", "--reference", "summary", "--answer", "other"],
    "compare": ["answers.csv", "--reference", "summary", "--answer", "other", "--answer", "dialogue"],
}


def parameters(verb: str) -> list[Any]:
    context = COMMANDS[verb].make_context(verb, [], resilient_parsing=True)
    return [one for one in COMMANDS[verb].get_params(context) if one.name != "help"]


def kind_of(parameter: Any) -> Any:
    """int, float, str, Path or bool; of a list what it holds."""
    kind = parameter.type_descriptor.annotation
    return get_args(kind)[0] if get_origin(kind) is list else kind


SLOW = ("study", "multitask", "pretrain", "trial", "scale run", "scale fit")  # a value takes them seconds
CASES = [
    pytest.param(
        verb, one.name, id=f"{verb}-{one.name}", marks=[pytest.mark.slow] if verb in SLOW or one.name == "probe" else []
    )
    for verb in COMMANDS
    for one in parameters(verb)
]


def test_every_verb_is_here() -> None:
    assert set(NEEDS) == set(COMMANDS)
    assert {kind_of(one) for verb in COMMANDS for one in parameters(verb)} <= {*VALUES, bool}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    """A folder with a file of answers, two tasks, a model, a finished study, a folder and a file."""
    ground = tmp_path_factory.mktemp("ground") / "here"
    make_files(ground, tiny_folder)
    before = os.environ["LUTHIER_CACHE"]
    os.environ["LUTHIER_CACHE"] = str(ground / "cache")
    luthier.study(ground / "task", model=str(ground / "model"), arms="copy-3", out=ground / "study")
    os.environ["LUTHIER_CACHE"] = before
    return ground


@pytest.fixture
def here(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ground, tmp_path / "here", symlinks=True)
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "here" / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "here"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def typed(verb: str, name: str, value: str) -> list[str]:
    """The words of a command in which the parameter has this value."""
    (parameter,) = (one for one in parameters(verb) if one.name == name)
    needs = list(NEEDS[verb])
    if parameter.param_type_name == "argument":
        arguments = [one.name for one in parameters(verb) if one.param_type_name == "argument"]
        place = arguments.index(name)
        options = needs[len(arguments) if verb != "multitask" else 2 :]
        needs = needs[: len(needs) - len(options)]
        needs[place : place + 1] = [value]
        return [*verb.split(), *options, "--", *needs]
    flag = parameter.opts[0]
    if kind_of(parameter) is bool:
        return [*verb.split(), *needs, flag]
    while flag in needs and not parameter.multiple:
        at = needs.index(flag)
        del needs[at : at + 2]
    # A name and its value in one word: a value may begin with a dash.
    return [*verb.split(), *needs, f"{flag}={value}"]


def held(said: Said) -> str | None:
    """What is wrong with how a command ended; None when nothing is."""
    last = said.err.splitlines()[-1] if said.err else ""
    if "Traceback" in said.err:
        return "a traceback"
    if said.code not in exits.CODES:
        return f"the exit code {said.code}"
    if said.code in (1, 2) and not last.startswith(("luthier: ", "Error: ")):
        return f"no sentence but {last!r}"
    if any(not sign.isprintable() for sign in last):
        return f"a sentence that steers the terminal: {last!r}"
    return None


@pytest.mark.parametrize("verb, name", CASES)
def test_no_value_of_an_option_ends_in_a_traceback(
    verb: str, name: str, here: Path, luthier_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    (parameter,) = (one for one in parameters(verb) if one.name == name)
    around, wrong = sorted(here.parent.iterdir()), []
    for value in VALUES.get(kind_of(parameter), ("",)):
        command = typed(verb, name, value)
        monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115 - closed with the process
        try:
            with within(SECONDS):
                problem = held(luthier_says(*command))
        except BaseException as error:
            problem = f"{type(error).__name__}: {str(error)[:200]}"
        if problem:
            wrong.append(f"{[word[:80] for word in command]}: {problem}")
        for made in ("new", "out", "merged"):
            shutil.rmtree(here / made, ignore_errors=True)
    assert sorted(here.parent.iterdir()) == around
    assert not wrong, "\n".join(wrong)
