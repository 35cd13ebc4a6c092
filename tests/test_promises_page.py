"""docs/promises.md names a test for each promise, and each of these tests is there."""

from __future__ import annotations

import re

import pytest

from tests.commands import ROOT

PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| (.*) \|$", PAGE, flags=re.MULTILINE)
PROMISES = [(promise, test) for promise, test in ROWS if promise not in ("promise", "---")]


def test_the_page_has_promises() -> None:
    assert len(PROMISES) > 20


@pytest.mark.parametrize(("promise", "test"), PROMISES)
def test_each_promise_names_a_test_that_is_there(promise: str, test: str) -> None:
    found = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", test)
    assert found, f"{promise}: no test is named"
    assert re.search(rf"^def {found[2]}\(", (ROOT / found[1]).read_text(encoding="utf-8"), flags=re.MULTILINE), test
