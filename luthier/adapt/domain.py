"""Further pretraining: every parameter trains on texts of the domain, then the model is asked as the base would be.

Gururangan et al. 2020, "Don't Stop Pretraining", sections 3 (texts of the domain) and 4 (the task's own inputs). Some
general rows are repeated among the texts, so that less of what the base could do is lost (Robins 1995). What it saves
and how it is loaded is that of full fine-tuning; studies/domain.py reads the texts.
"""

from __future__ import annotations

from dataclasses import replace

from luthier.adapt import full
from luthier.adapt.settings import GENERAL
from luthier.training.settings import Training

METHOD = replace(
    full.METHOD,
    name="domain",
    summary="further pretraining: every parameter moves, on texts and not on answers",
    training=Training(learning_rate=5e-5, weight_decay=0.01, replay=GENERAL),
    on_encoder=None,
    reads="texts",
)
