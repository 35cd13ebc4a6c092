"""Any bytes as a file of rows, a task.toml or a splits.json, any text in a template, any tokens of a model.

What comes out is rows, a task, a prompt, or one sentence of ours; never another error, and never a wait without end.
LUTHIER_FUZZ says how many of each are tried.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.arms.short_form import parse
from luthier.decoding.generate import shorten
from luthier.errors import LuthierError
from luthier.records import Answer, Example
from luthier.scoring.facts import unsupported
from luthier.scoring.score import score
from luthier.scoring.source import Source
from luthier.settings import value_of
from luthier.studies.spec import specification
from luthier.task.check import check_task
from luthier.task.create import init_task
from luthier.task.examples import Columns, read_examples, read_native
from luthier.task.prompt import Renderer, paint
from luthier.task.rows import read_rows
from luthier.task.task import load_task
from luthier.verdicts.columns import comparison_of_columns, scores_of_column
from tests import tiny

TRIED = int(os.environ.get("LUTHIER_FUZZ", "60"))
SECONDS = 20
many = settings(
    max_examples=TRIED, deadline=None, suppress_health_check=list(HealthCheck), derandomize=TRIED < 1000, database=None
)

# ------------------------------------------------------------------------------------------------ what is tried

TEXTS = st.text(max_size=60) | st.sampled_from(
    ["", " ", "\x00", "\x85", "\u2028", "\ufeff", "\r", "\r\n", '"', '""', ",", "\t", "'", "a" * 5000, "\U0010ffff",
     "1e999", "NaN", "-Infinity", "9" * 5000, "\\ud800",
     "{input}", "{labels}", "<|im_end|>", "</s>", "{% raw %}", "May " * 200]
)  # fmt: skip
CELLS = TEXTS.map(lambda text: '"' + text.replace('"', '""') + '"') | TEXTS
LINES = st.lists(CELLS, min_size=3, max_size=3) | st.lists(CELLS, max_size=4)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries(
    {"id": TEXTS | VALUES, "input": TEXTS | VALUES, "references": st.lists(TEXTS, max_size=3) | VALUES},
    optional={"meta": VALUES, "unit": VALUES, "more": VALUES},
)
TIDY = st.fixed_dictionaries({"id": TEXTS, "input": TEXTS, "references": st.lists(TEXTS, min_size=1, max_size=2)})
JSONL = (
    st.lists(ROWS.map(json.dumps) | VALUES.map(json.dumps) | TEXTS, max_size=5)
    | st.lists(TIDY.map(json.dumps), min_size=10, max_size=30)
).map("\n".join)


def tables(delimiter: str) -> st.SearchStrategy[str]:
    header = st.just(delimiter.join(("input", "summary", "other")))
    some = st.lists(LINES.map(delimiter.join), max_size=5)
    enough = st.lists(st.lists(CELLS, min_size=3, max_size=3).map(delimiter.join), min_size=10, max_size=30)
    rows = some | enough  # of a few rows no splits can be drawn
    return st.builds(
        lambda head, lines, ends: ends.join([head, *lines]), header, rows, st.sampled_from(["\n", "\r\n", "\r"])
    )


def damaged(files: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Whole files, files with a few bytes changed, in other encodings, and any bytes."""

    def changed(text: str, how: int, at: int, bytes_: bytes) -> bytes:
        data = text.encode("utf-8", "surrogatepass")
        at = at % (len(data) + 1)
        ways = (data[:at], data[:at] + bytes_ + data[at:], text.encode("utf-16", "surrogatepass"), bytes_, data * 9)
        return ways[how] if how < len(ways) else data

    return st.builds(changed, files, st.integers(0, 9), st.integers(0, 10_000), st.binary(max_size=40))


FILES = {"csv": damaged(tables(",")), "tsv": damaged(tables("\t")), "jsonl": damaged(JSONL)}


@contextmanager
def only_ours() -> Iterator[None]:
    """Lets a sentence of ours pass; whatever else is raised, or takes longer than SECONDS, fails the test."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    except LuthierError as refused:
        assert str(refused).strip(), "an error without a sentence"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    return tmp_path


# --------------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("kind", FILES)
def test_any_bytes_are_rows_or_a_sentence(kind: str, place: Path) -> None:
    path = place / f"rows.{kind}"

    @many
    @given(FILES[kind])
    def tried(data: bytes) -> None:
        path.write_bytes(data)
        with only_ours():
            for row in read_rows(path):
                json.dumps(row.values, ensure_ascii=False, allow_nan=False).encode()  # every study writes them again
        with only_ours():
            read_examples(path, Columns(input="input", target="summary"), "train")
        with only_ours():
            read_native(path)

    tried()


@pytest.mark.parametrize("kind", FILES)
def test_any_bytes_are_scored_and_compared_or_refused(kind: str, place: Path) -> None:
    path = place / f"rows.{kind}"
    columns = ("input", "references", "id") if kind == "jsonl" else ("summary", "other", "input")

    @many
    @given(FILES[kind], st.sampled_from([None, "none", "input"]))
    def tried(data: bytes, cluster: str | None) -> None:
        path.write_bytes(data)
        reference, first, second = columns
        with only_ours():
            scores_of_column(path, reference=reference, answer=first, cluster=cluster)
        with only_ours():
            comparison_of_columns(path, reference=reference, answers=[first, second], cluster=cluster)

    tried()


@pytest.mark.parametrize("kind", FILES)
def test_any_bytes_are_a_task_or_a_sentence(kind: str, place: Path) -> None:
    path, made = place / f"rows.{kind}", 0
    columns = {"input": "input", "target": "references"} if kind == "jsonl" else {"input": "input", "target": "summary"}

    @many
    @given(FILES[kind], st.booleans())
    def tried(data: bytes, labelled: bool) -> None:
        nonlocal made
        path.write_bytes(data)
        folder = place / f"task-{made}"
        made += 1
        given_columns = {"input": columns["input"], "labels" if labelled else "target": columns["target"]}
        with only_ours():
            list(check_task(init_task(folder, path, **given_columns)))
        assert not list(place.glob(f".{folder.name}*")), "nothing is left beside a task, made or refused"

    tried()


TOML = st.sampled_from([
    'name = "tiny"', "[answer]", "max_new_tokens = 4", "[decide]", 'metric = "rouge1"', "margin = 0.1", "[prompt]",
    "[prompt.templates]", 'plain = "{input}"', "[data]", 'train = "train.jsonl"', 'splits = "splits.json"',
    '[data.columns]\ninput = "input"\ntarget = "references"', "[classes.words]", 'yes = "yes"', 'no = "no"',
])  # fmt: skip
TOMLS = damaged(st.lists(TOML | TEXTS.map(lambda text: f"x = {json.dumps(text)}") | TEXTS, max_size=8).map("\n".join))


def test_any_bytes_as_task_toml_are_a_task_or_a_sentence(place: Path) -> None:
    for split in ("train", "dev", "test"):
        rows = [{"id": f"{split}{i}", "input": f"{split} {i}", "references": ["yes"]} for i in range(2)]
        (place / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    @many
    @given(TOMLS, damaged(VALUES.map(json.dumps)))
    def tried(toml: bytes, splits: bytes) -> None:
        (place / "task.toml").write_bytes(toml)
        (place / "splits.json").write_bytes(splits)
        with only_ours():
            list(check_task(load_task(place)))
        with only_ours():
            specification(place, None, place / "task.toml", {})

    tried()


# ------------------------------------------------------------------------------------- templates, texts and tokens


@pytest.fixture(scope="module", params=["chat", "plain", "ends prompts"])
def renderer(request: pytest.FixtureRequest) -> Renderer:
    tokenizer = tiny.tokenizer(chat=request.param == "chat", ends_prompts=request.param == "ends prompts")
    return Renderer(tokenizer, "encoder-decoder" if request.param == "ends prompts" else "decoder", 90)


def test_any_template_and_any_text_are_a_prompt_that_fits_or_a_sentence(renderer: Renderer) -> None:
    @many
    @given(TEXTS, TEXTS, TEXTS, TEXTS, st.integers(0, 3), st.booleans())
    def tried(before: str, after: str, text: str, reference: str, shots: int, train: bool) -> None:
        examples = [Example(f"e{i}", text, (reference,)) for i in range(4)]
        with only_ours():
            prompt = renderer.prompt(
                examples[0], f"{before}{{input}}{after}", examples[1 : 1 + shots], room=8, train=train
            )
            assert len(prompt.prompt_ids) + (8 if renderer.family == "decoder" else 0) <= renderer.window
            trained = [trained for _, trained in paint(prompt, renderer.tokenizer)]
            assert trained == [False] * len(prompt.prompt_ids) + [True] * len(prompt.target_ids or ())
        with only_ours():
            renderer.hash(f"{before}{{input}}{after}", examples)

    tried()


def test_any_tokens_are_an_answer_that_can_be_cut_and_scored(renderer: Renderer) -> None:
    @many
    @given(st.lists(st.integers(0, len(renderer.tokenizer) - 1), max_size=40), st.integers(1, 50), TEXTS, TEXTS)
    def tried(tokens: list[int], limit: int, reference: str, source: str) -> None:
        text = renderer.tokenizer.decode(tokens, skip_special_tokens=True)
        answer = shorten(Answer("e", text, tuple(tokens), "length"), limit, renderer.tokenizer)
        json.dumps(answer.text, ensure_ascii=False).encode()
        with only_ours():
            (one,) = score([answer], [Example("e", source, (reference,))])
            for metric, value in one.values.items():
                assert value is None or value >= 0, metric
                assert value is not None or one.reasons.get(metric), f"{metric} is unknown without a reason"
        with only_ours():
            unsupported(answer.text, Source(source))

    tried()


@pytest.mark.parametrize("read", [parse, value_of])
def test_any_text_is_a_short_form_or_a_sentence(read: Callable[[str], Any]) -> None:
    words = st.lists(
        st.sampled_from(["lora", "-r4", "+", "=", ":", "@int4", "rank", "few-shot-", "9" * 400, "1e999", "@", "-"])
        | TEXTS
    )

    @many
    @given(words.map("".join))
    def tried(text: str) -> None:
        with only_ours():
            read(text)

    tried()
