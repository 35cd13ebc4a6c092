"""Methods that train no parameter: no instruction, zero, one or few shots.

Few-shot prompting is Brown et al. 2020, section 2: the task is shown by examples inside the prompt.
"""

from __future__ import annotations

from luthier.adapt.method import Prompting

METHODS = (
    Prompting(name="bare", summary="the input alone, no instruction", default_template="bare"),
    Prompting(name="zero-shot", summary="an instruction and the input"),
    Prompting(name="one-shot", summary="one solved example in front"),
    Prompting(name="few-shot", summary="k solved examples in front"),
)
