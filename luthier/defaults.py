"""Defaults that several rooms share. The default metric and margin are in metrics.py."""

from __future__ import annotations

MODEL = "smollm2-135m"  # the packaged one
DEV_SHARE, TEST_SHARE = 0.1, 0.2  # of the rows, where `init` draws the splits
MOST_DEV = 32  # dev examples of a study: enough to choose settings, cheap to answer
BATCH = 8  # examples of an optimizer step
ANSWER = 80  # new tokens of an answer at most, where nobody says how many
