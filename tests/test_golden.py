"""Small studies of every kind are what they were: every file, key, word and number; and the comparison can fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.golden.kept import KEPT, unlike_kept
from tests.golden.made import ENVIRONMENT
from tests.golden.settled import LISTING, differing, files_of, listing

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow  # half a minute of studies

STUDY = "studies/several/tasks/sums"


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return dict(json.loads(KEPT.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The studies, made now: in a process of its own, whose environment is the golden's from its first moment on."""
    out = tmp_path_factory.mktemp("golden") / "out"
    command = [sys.executable, "-m", "tests.golden", str(out)]
    subprocess.run(command, cwd=ROOT, env=os.environ | ENVIRONMENT, check=True, capture_output=True, timeout=600)
    return out


def test_every_file_is_as_it_was_kept(made: Path, kept: dict[str, Any]) -> None:
    """Where a change was meant: python -m tests.golden --keep."""
    assert unlike_kept(made, kept) == []


def test_nothing_of_this_machine_stands_in_the_studies(made: Path) -> None:
    """Else two folders would not be alike, and the fields that are put to constants would not be all."""
    written = {path: path.read_bytes() for path in files_of(made)}
    places = {str(made), str(ROOT), str(Path.home() / "."), os.uname().nodename}
    named = {place.encode() for place in places if len(place) > 5}
    assert [str(path) for path, data in written.items() if any(name in data for name in named)] == []
    assert listing(made) == (made / LISTING).read_text(encoding="utf-8")


# --- the comparison can fail --------------------------------------------------------------------------------------


def replaced(before: str, after: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert before in text
        return text.replace(before, after, 1)

    return change


def swapped(text: str) -> str:
    """The same value with two of its keys the other way round."""
    value = json.loads(text)
    first, *others = value
    turned = {key: value[key] for key in (*others, first)}
    assert turned == value
    return json.dumps(turned, indent=2, ensure_ascii=False) + "\n"


def raised(text: str) -> str:
    """Every mean a two hundredth larger."""
    changed = re.sub(r'("mean": )(0\.\d+)', lambda m: f"{m[1]}{float(m[2]) * 1.005}", text)
    assert changed != text
    return changed


DAMAGES: dict[str, tuple[str, Callable[[str], str]]] = {
    "a renamed key": ("compare.json", replaced('"deciding"', '"decides"')),
    "keys in another order": ("arms/lora-r4/arm.json", swapped),
    "a changed number": ("compare.json", raised),
    "a whole number one larger": ("arms/lora-r4/training.json", replaced('"steps": ', '"steps": 1')),
    "true for false": ("multitask.json", replaced("false", "true")),
    "null for a number": ("arms/zero-shot/scores.jsonl", replaced('"rouge2": 0.0', '"rouge2": null')),
    "a changed sentence": ("report.md", replaced("Intervals of means", "Ranges of means")),
    "a changed word of the page": ("report.html", replaced("Skip to the arms", "Go to the arms")),
    "a changed tag of the page": ("report.html", replaced("<main>", "<main >")),
    "a changed number of the page": ("report.html", replaced('class="num"><b>0.', 'class="num"><b>1.')),
    "an answer of another word": ("arms/zero-shot/answers.jsonl", replaced('"text": "', '"text": "so ')),
    "lines in another order": (
        "examples.jsonl",
        lambda text: "".join([*text.splitlines(keepends=True)[1:], text.splitlines(keepends=True)[0]]),
    ),
    "JSON written with other blanks": ("profile.json", lambda text: json.dumps(json.loads(text), indent=1) + "\n"),
    "a line less": ("log.jsonl", lambda text: text[: text.rstrip("\n").rfind("\n") + 1]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_is_found(damage: str, made: Path, kept: dict[str, Any], tmp_path: Path) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    file, change = DAMAGES[damage]
    path = copy / (STUDY if file != "multitask.json" else "studies/several") / file
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    name = path.relative_to(copy).as_posix()
    assert [said.partition(":")[0] for said in unlike_kept(copy, kept)] == [name]
    assert differing(made, copy) == [f"differs: {name}"]


def test_a_missing_file_a_new_one_and_other_weights_are_found(made: Path, kept: dict[str, Any], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(made, tmp_path / "copy")
    (copy / STUDY / "profile.json").rename(copy / STUDY / "lengths.json")
    weights = copy / STUDY / "arms/lora-r4/adapter/adapter_model.safetensors"
    tensors = load_file(weights)
    name, tensor = next(iter(tensors.items()))
    save_file(tensors | {name: tensor[..., :-1].contiguous()}, weights, metadata={"format": "pt"})
    missing, new, shape = unlike_kept(copy, kept)
    assert missing == f"{STUDY}/profile.json: is missing"
    assert new == f"{STUDY}/lengths.json: was not there"
    assert shape.startswith(f"{STUDY}/arms/lora-r4/adapter/adapter_model.safetensors: has ") and name in shape


def test_low_order_bits_and_last_printed_digits_may_differ(made: Path, kept: dict[str, Any], tmp_path: Path) -> None:
    """What another processor changes is no damage."""
    copy = shutil.copytree(made, tmp_path / "copy")
    path = copy / STUDY / "compare.json"
    text = re.sub(r'(": )(-?\d\.\d{9,})', lambda m: f"{m[1]}{float(m[2]) * 1.0001}", path.read_text())
    assert text != path.read_text()
    path.write_text(text, encoding="utf-8")
    page = copy / STUDY / "report.md"
    page.write_text(re.sub(r"(\| 0\.\d\d)4\b", r"\g<1>5", page.read_text()), encoding="utf-8")
    assert len(differing(made, copy)) == 2
    assert unlike_kept(copy, kept) == []
