"""Profile, people, effort, seeds and likelihood on the page; each of them may be absent."""

from __future__ import annotations

import shutil

import pytest

from luthier.compare import compare
from luthier.errors import FolderError
from luthier.files import read_json, read_lines, write_json
from luthier.page import read_study
from luthier.page_evidence import budget_rows, effort_rows, fact_rows, likelihood_rows, recipe_rows, shape_rows
from luthier.profile import write_profile
from luthier.records import Answer, Example, Score, from_row
from luthier.report import report
from tests.rated import *  # noqa: F403
from tests.test_report import Outline, make_study, made_examples
