"""What torch's libraries are told before it is loaded, and never over what the user chose.

OpenMP's threads do not spin for long; oneDNN and torch keep few programs of products.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASK = "import luthier, os; print({name: os.environ.get(name) for name in luthier._OPENMP})"
NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
KEPT = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
ASK_KEPT = f"import luthier, os; print({{name: os.environ.get(name) for name in {KEPT}}})"


def said(code: str, **chosen: str) -> dict[str, str | None]:
    environment = {name: value for name, value in os.environ.items() if name not in (*NAMES, *KEPT)} | chosen
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return dict(eval(done.stdout))


def test_the_library_sets_it_as_the_command_does() -> None:
    assert said(ASK) == {"GOMP_SPINCOUNT": "3000", "OMP_WAIT_POLICY": None, "KMP_BLOCKTIME": None}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_user_chose_stays(name: str) -> None:
    assert said(ASK, **{name: "1"}) == dict.fromkeys(NAMES) | {name: "1"}


def test_where_torch_is_loaded_it_is_too_late_and_nothing_is_set() -> None:
    assert said("import sys; sys.modules['torch'] = None; " + ASK) == dict.fromkeys(NAMES)


@pytest.mark.parametrize(
    ("chosen", "before", "kept"),
    [
        ({}, "", ("64", "64")),
        ({KEPT[0]: "1024"}, "", ("1024", "64")),
        ({KEPT[1]: "1024"}, "", ("64", "1024")),
        ({}, "import sys; sys.modules['torch'] = None; ", (None, None)),
    ],
)
def test_few_programs_of_products_are_kept(
    chosen: dict[str, str], before: str, kept: tuple[str | None, str | None]
) -> None:
    assert said(before + ASK_KEPT, **chosen) == dict(zip(KEPT, kept, strict=True))
