"""A learner's function is called in a process of its own, and only plain values come back to be compared."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy
import pytest
import torch

from luthier.course.child import run_script
from luthier.course.holes import failures, world_of
from luthier.course.plain import plain, same
from luthier.course.source import parse

LESSON = parse(
    """# %% [markdown]
# # 9.9 A lesson

# %%
import math
import json
SCALE = 2
UNUSED = 3
model = open("there is no such file")

def helper(x):
    return SCALE * x

# %% tags=["hole"]
def double(x):
    ### BEGIN SOLUTION
    return helper(x)
    ### END SOLUTION

# %% tags=["hole"]
def root(x):
    ### BEGIN SOLUTION
    return math.sqrt(x)
    ### END SOLUTION

# %% tags=["test"]
four = 4
assert double(2) == four, "double: two by two"
### BEGIN HIDDEN TESTS
assert double(3) + double(1) == 8, "double: three and one"
### END HIDDEN TESTS

# %% tags=["test"]
assert root(four) == 2, "root: of four"
### BEGIN HIDDEN TESTS
assert abs(root(2) - 1.414) < 0.01, "root: of two"
### END HIDDEN TESTS
""",
    "lesson",
)


def test_the_world_holds_what_holes_need_and_nothing_else() -> None:
    world = world_of(LESSON)
    assert "import math" in world and "def helper" in world and "SCALE = 2" in world
    assert "json" not in world and "UNUSED" not in world and "open(" not in world
    without = world_of(LESSON, {"root": "def root(x):\n    return json.loads(str(UNUSED + x))"})
    assert "math.sqrt" not in without and "import math" in without and "root: write this function" in without
    assert "import json" in without and "UNUSED = 3" in without


def test_solutions_pass_and_an_empty_hole_is_named() -> None:
    assert failures(LESSON, {})[0] == []
    failed, _ = failures(LESSON, {"double": LESSON.stub("double")})
    assert [one.says for one in failed] == ["double: write this function"] * 2
    assert {one.check.hole for one in failed} == {"double"}


@pytest.mark.parametrize(
    "function, says",
    [
        ("def double(x):\n    return x * x", ["double: three and one"]),
        ("def double(x):\n    return 1 / 0", ["double: it raises ZeroDivisionError: division by zero"] * 2),
        (
            "class Same(int):\n    def __eq__(self, other):\n        return True\ndef double(x):\n    return Same(0)",
            ["double: it raises TypeError: it is a Same, and not a number, a text, or a list of these"] * 2,
        ),
        ("def double(x):\n    print('4' * 10**6)\n    return 2 * x", []),
        ("def double(x, theirs=double):\n    return theirs(x)", ["double: write this function"] * 2),
        (
            "nothing = 1 / 0\ndef double(x):\n    return 2 * x",
            ["double: it raises ZeroDivisionError: division by zero"] * 2,
        ),
        ("import os\ndef double(x):\n    os._exit(0)", ["double: it said nothing", "double: it said nothing"]),
    ],
)
def test_what_a_function_gives_is_compared_outside(function: str, says: list[str]) -> None:
    failed, _ = failures(LESSON, {"double": function})
    assert [one.says for one in failed if one.check.hole == "double"] == says


def test_an_endless_function_is_killed_and_said() -> None:
    failed, done = failures(LESSON, {"double": "def double(x):\n    while True: pass"}, seconds=1.0)
    assert done.late and failed[0].says == "double: it took too long"


@pytest.mark.parametrize(
    "value, as_json",
    [
        (1, 1), (True, True), ("a", "a"), (None, None), ((1, [2.5]), [1, [2.5]]), ({2, 1}, {"set": [1, 2]}),
        ({"a": (1,)}, {"dict": [["a", [1]]]}), (math.inf, {"float": "inf"}), (numpy.float64(0.5), 0.5),
        (numpy.array([1, 2]), [1, 2]), (torch.tensor([[1.0, 2.0]]), [[1.0, 2.0]]), (torch.tensor(3), 3),
    ],
)  # fmt: skip
def test_plain_values(value: object, as_json: object) -> None:
    assert plain(value) == as_json


def test_what_is_not_plain_is_refused() -> None:
    class Sly(list):  # type: ignore[type-arg]
        pass

    for value in (Sly(), object(), lambda: 1, torch.nn.Linear(1, 1)):
        with pytest.raises(TypeError):
            plain(value)
    with pytest.raises(ValueError, match="more than"):
        plain(list(range(200_000)))
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises((ValueError, RecursionError)):
        plain(endless)


def test_same_values() -> None:
    assert same(4, 4.0) and same(1 / 3, 0.33333334) and same([1, {"set": [2]}], [1.0, {"set": [2]}])
    assert not same(10**400, 0.5) and not same(0.5, 10**400) and same(10**400, 10**400)
    assert same(plain({"a": 1, "b": 2}), plain({"b": 2, "a": 1.0}))
    assert same(plain(Counter("aab")), plain({"b": 1, "a": 2})) and same(plain(defaultdict(int, a=1)), plain({"a": 1}))
    assert not same(plain({"a": 1}), plain({"b": 1})) and not same(plain({"a": 1}), plain({"a": 2}))
    assert not same(True, 1) and not same("1", 1) and not same([1], [1, 2]) and not same(None, 0)


def test_a_script_runs_offline_in_an_empty_folder(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, socket, pathlib\n"
        "assert list(pathlib.Path().iterdir()) == []\n"
        "assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
        "socket.create_connection(('127.0.0.1', 9))\n",
        encoding="utf-8",
    )
    done = run_script(script)
    assert done.code == 1 and "a lesson runs without a network" in done.err and done.peak_bytes > 10**6


def test_a_child_ends_with_its_parent_s_interruption(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    child = f"import time\nwhile True:\n    open({str(beat)!r}, 'a').write('.')\n    time.sleep(0.02)"
    parent = (
        "import signal, sys\nfrom pathlib import Path\nfrom luthier.course.child import finished\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job is started with it ignored
        f"finished([sys.executable, '-c', {child!r}], Path({str(tmp_path)!r}), 60)"
    )
    running = subprocess.Popen([sys.executable, "-c", parent], stderr=subprocess.PIPE)
    while not beat.exists() and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in running.communicate(timeout=60)[1]
    before = beat.stat().st_size
    time.sleep(0.3)
    assert before and beat.stat().st_size == before
