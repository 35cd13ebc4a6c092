"""Prompts beside each other: what a model is asked about different examples must differ.

A prompt by itself may look right. A tokenizer that knows none of an input's letters, or a chat template that leaves
the input out, gives all examples the same prompt, and every arm the same answer: a ranking of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luthier.errors import PromptError
from luthier.records import Example, Prompt
from luthier.task.findings import Finding, about
from luthier.task.prompt import Renderer
from luthier.task.spec import Split
from luthier.task.task import Task

MOST_COMPARED = 32  # examples of a study whose prompts are compared before anything is trained
UNKNOWN_SHARE = 0.05  # of a split's tokens that the tokenizer does not know, from which on it is said


@dataclass(frozen=True)
class _Same:
    """Examples whose prompt is that of an earlier one with another input, and the number of different inputs."""

    pairs: list[tuple[Example, Example]]
    inputs: int

    @property
    def is_most(self) -> bool:
        """Whether at least half of the different inputs are lost."""
        return len(self.pairs) * 2 >= self.inputs


def same_prompts(rendered: Sequence[tuple[Example, Prompt]]) -> _Same:
    """Which examples share a prompt. Case and blanks make no other input, and inputs that were cut are left out."""
    first_of_input: dict[str, Example] = {}
    first_of_prompt: dict[tuple[int, ...], Example] = {}
    pairs = []
    for example, prompt in rendered:
        input = "".join(example.input.casefold().split())
        if prompt.tokens_cut or input in first_of_input:
            continue
        first_of_input[input] = example
        earlier = first_of_prompt.setdefault(prompt.prompt_ids, example)
        if earlier is not example:
            pairs.append((example, earlier))
    return _Same(pairs, len(first_of_input))


def prompt_findings(
    task: Task, split: Split, rendered: Sequence[tuple[Example, Prompt]], renderer: Renderer
) -> Iterator[Finding]:
    """An error where most inputs give the same prompt, a warning where some do or where many tokens are unknown."""
    same = same_prompts(rendered)
    if same.pairs:
        problem = (
            f"the prompt is that of an earlier row with another input ({len(same.pairs)} of {same.inputs} inputs), so "
            "the model cannot tell them apart; choose another model"
        )
        named = [(example.row, f" (= row {earlier.row})") for example, earlier in same.pairs]
        yield about("error" if same.is_most else "warning", task, split, named, problem)
    unknown = getattr(renderer.tokenizer, "unk_token_id", None)
    if unknown is None:
        return
    counts = [(example, prompt.prompt_ids.count(unknown)) for example, prompt in rendered]
    total = sum(len(prompt.prompt_ids) for _, prompt in rendered)
    lost = sum(count for _, count in counts)
    if lost > UNKNOWN_SHARE * total:
        problem = (
            f"the model does not know {lost:,} of {total:,} tokens of the prompts and reads "
            f"'{renderer.tokenizer.unk_token}' in their place; choose a model that knows this script"
        )
        yield about("warning", task, split, [(example.row, f" ({n})") for example, n in counts if n], problem)


def refuse_same_prompts(
    arm: str, renderer: Renderer, text: str, shots: Sequence[Example], examples: Sequence[Example], room: int
) -> None:
    """Raises PromptError where an arm's prompts leave out what they should hold, or most are the same.

    For the first of `examples`, before anything is trained.
    """
    some = examples[:MOST_COMPARED]
    rendered = [(example, renderer.prompt(example, text, shots, room=room)) for example in some]
    same = same_prompts(rendered)
    if same.pairs and same.is_most:
        example, earlier = same.pairs[0]
        raise PromptError(
            f"arm '{arm}': examples '{earlier.id}' and '{example.id}' have different inputs and the same prompt "
            f"({len(same.pairs)} of {same.inputs} inputs), so the model cannot tell them apart; choose another model"
        )
