"""Published laws as their sources print them, and where compute is best spent."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from luthier.scratch.laws import PF_DAY, AdditiveLaw, Published, flops_of

LAWS = Published.all()


def test_the_data_constrained_law_gives_the_published_value() -> None:
    assert float(Published.MUENNIGHOFF.loss(6.34e9, 242e9, 25e9)) == 2.2256440889984477


def test_without_repetition_the_data_constrained_law_is_its_base() -> None:
    law = Published.MUENNIGHOFF
    assert law.loss(1e9, 2e10) == pytest.approx(law.base.loss(1e9, 2e10))
    assert law.loss(1e9, 2e10, 2e10) == pytest.approx(law.base.loss(1e9, 2e10))
    assert law.loss(1e9, 2e10, 1e10) > law.loss(1e9, 2e10)  # the second pass is worth less


@pytest.mark.parametrize("law", [law for law in LAWS if isinstance(law, AdditiveLaw)], ids=lambda law: law.name)
def test_no_other_size_at_the_same_compute_has_a_lower_loss(law: AdditiveLaw) -> None:
    n, d = law.optimum(1e21)
    assert flops_of(n, d) == pytest.approx(1e21)
    factors = np.array([0.5, 0.9, 0.99, 1.01, 1.1, 2.0])
    assert (law.loss(n * factors, d / factors) > law.loss(n, d)).all()


def test_chinchilla_and_kaplan_recommend_what_their_papers_say() -> None:
    n, d = Published.BESIROGLU.optimum(5.76e23)  # Gopher's compute: about 20 tokens a parameter
    assert 15 < d / n < 30
    n, _ = Published.KAPLAN.optimum(PF_DAY)
    assert float(n) == pytest.approx(1.3e9)
    assert float(Published.KAPLAN.loss(1e30, 1.8e13)) == pytest.approx(1.0, abs=1e-3)  # (D_c / D)^alpha_D at D = D_c


def test_every_law_says_where_it_is_from_and_what_it_counts() -> None:
    for law in LAWS:
        assert "arXiv" in law.source and law.counts and law.name


def test_laws_and_their_fits_import_no_torch() -> None:
    names = ["laws", "points", "law_fit", "backtest", "isoflop", "repeated", "scale"]
    code = "".join(f"import luthier.scratch.{name}\n" for name in names)
    code += "import sys; print([n for n in ('torch', 'transformers') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
