"""Defaults that several rooms share. The default metric and margin are in metrics.py."""

from __future__ import annotations

MODEL = "smollm2-135m"  # the packaged one
DEV_SHARE, TEST_SHARE = 0.1, 0.2  # of the rows, where `init` draws the splits
