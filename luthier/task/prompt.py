"""Prompts: templates, shots and chat templates become token ids, for training, asking and serving alike.

There are two steps; a server needs only the second:

    template(example, text, shots) -> messages      (roles and words, no tokenizer)
    Renderer.render(messages, target) -> ids        (the model's own chat template, or plain text)

`Renderer.prompt` joins them and fits the result into the context window. It first drops shots, the last one first, and
then cuts the input at its end. The Prompt counts both. Whatever a chat template does, the input and every shot's
question and answer stand in the prompt; otherwise it is refused.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from luthier.errors import PromptError
from luthier.files import sha256_of_text
from luthier.records import Example, Prompt
from luthier.task.chat_template import MARK, ChatTemplate, Message, today
from luthier.task.parts import QUESTION, REPLY, RULES, cuttable, fill, shortened

# The text between a shot's answer and the next question where a model has no chat template.
_PLAIN_BREAK = "\n\n"


def template(example: Example, text: str, shots: Sequence[Example] = ()) -> list[Message]:
    """The messages of one example: each shot as a question with its first reference, then the question itself.

    Of a chat the earlier turns keep their roles and the last question goes into the template. The example's system turn
    stands first, and those of shots are left out: a chat template takes one system turn, at its beginning.
    """
    messages = [_message(role, words) for role, words in example.turns[:-1] if role == RULES]
    for shot in shots:
        messages += [*_question(shot, text), _message(REPLY, shot.references[0])]
    return messages + _question(example, text)


def _question(example: Example, text: str) -> list[Message]:
    """What an example asks under a template, after the turns that came before."""
    earlier = [_message(role, words) for role, words in example.turns[:-1] if role != RULES]
    asked = replace(example, input=example.turns[-1][1]) if example.turns else example
    return [*earlier, _message(QUESTION, fill(text, asked))]


def _message(role: str, words: str) -> Message:
    return {"role": role, "content": words}


def draw_shots(train: Sequence[Example], count: int, seed: int) -> list[Example]:
    """`count` examples with an answer, drawn from `train` by `seed`; a larger draw begins with the smaller one.

    Raises PromptError when `train` holds fewer.
    """
    usable = [example for example in train if example.is_usable]
    if len(usable) < count:
        raise PromptError(f"{count} shots were asked for but train has {len(usable)} usable examples; ask for fewer")
    random.Random(f"shots-{seed}").shuffle(usable)
    return usable[:count]


@dataclass(frozen=True)
class Renderer:
    """Messages -> ids for one model. `family` is 'decoder', 'encoder-decoder' or 'encoder'; `window` counts tokens.

    An encoder's target is the index of its label among `labels`. `day` is the date that a chat template prints.
    """

    tokenizer: Any
    family: str
    window: int
    labels: tuple[str, ...] = ()
    day: str = field(default_factory=today)

    @cached_property
    def chat_template(self) -> ChatTemplate | None:
        """The model's own chat template, if it brings one."""
        return ChatTemplate.of(self.tokenizer, self.day)

    @property
    def chats(self) -> bool:
        """Whether the model brings its own chat template."""
        return self.chat_template is not None

    def text(self, messages: Sequence[Message]) -> str:
        """The whole prompt as text, up to where the answer begins."""
        for message in messages:
            self._refuse_control_tokens(message["content"])
        if self.chat_template:
            return self.chat_template.text(messages)
        breaks = {"assistant": _PLAIN_BREAK}
        return "".join(message["content"] + breaks.get(message["role"], "\n") for message in messages)

    def render(self, messages: Sequence[Message], target: str | None = None) -> tuple[list[int], list[int] | None]:
        """Prompt ids and, when `target` is given, its ids with the end token that the model must learn.

        Prompt and target are tokenized apart, so that training sees exactly the prompt that asking will use.
        """
        return self.rendered(messages)[1], None if target is None else self.target_ids(target)

    def rendered(self, messages: Sequence[Message]) -> tuple[str, list[int]]:
        """The whole prompt as text, and its ids."""
        whole = self.text(messages)
        return whole, self.ids(whole, special=not self.chats)

    def target_ids(self, target: str) -> list[int]:
        """The ids of an answer with its end token last, and nowhere else."""
        self._refuse_control_tokens(target)
        return [*self.ids(target, special=False), self.end_id]

    def room_for(self, most: int) -> int:
        """Tokens of the window that an answer needs: `most`, or those of a longer label; 0 for an encoder."""
        if self.family == "encoder":
            return 0
        return max([most, *(len(self.target_ids(label)) for label in self.labels)])

    @cached_property
    def control_tokens(self) -> frozenset[str]:
        """Every text that becomes a control token, whether a role of the tokenizer (end, padding) names it or not."""
        added = self.tokenizer.added_tokens_decoder.values()
        return frozenset({str(token) for token in added if token.special} | set(self.tokenizer.all_special_tokens))

    @cached_property
    def end_id(self) -> int:
        """The token that ends an answer: what the chat template puts behind one, else the tokenizer's end token."""
        if self.chat_template:
            turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": MARK}]
            whole = self.chat_template.text(turns, answer_follows=False)
            after = self.ids(whole.partition(MARK)[2].strip(), special=False)
            if after and self.tokenizer.convert_ids_to_tokens(after[0]) in self.control_tokens:
                return int(after[0])
        if self.tokenizer.eos_token_id is None:
            raise PromptError("the tokenizer has no end token, so no answer could be ended; choose another model")
        return int(self.tokenizer.eos_token_id)

    def prompt(
        self,
        example: Example,
        text: str,
        shots: Sequence[Example] = (),
        *,
        room: int = 0,
        train: bool = False,
    ) -> Prompt:
        """One example under template `text`, with `room` tokens of the window kept free for the answer.

        With `train` the first reference becomes the target. Raises PromptError when there is nothing to train on, when
        the target or not even the instruction fits, or when the chat template leaves out what it was given.
        """
        if train and not example.references:
            raise PromptError(f"example '{example.id}' (row {example.row}) has no reference answer to train on")
        others = [shot for shot in shots if shot.id != example.id]
        for one in (example, *others):  # here the row is known, and in `render` only the text
            named = f"example '{one.id}' (row {one.row}): " if one.row else ""  # a text that is asked has no row
            spoken = one is not example or (train and self.family != "encoder")
            for words in (one.input, *(one.references[:1] if spoken else ())):
                self._refuse_control_tokens(words, named)
        target_ids = self.target_ids(example.references[0]) if train and self.family != "encoder" else None
        if len(target_ids or ()) > self.window:
            raise PromptError(
                f"example '{example.id}' (row {example.row}): the reference answer has {len(target_ids or ())} tokens, "
                f"more than the context window of {self.window}; shorten it or leave the row out"
            )
        # Only a decoder keeps its answer in the window that the prompt stands in.
        free = self.window - (max(room, len(target_ids or ())) if self.family == "decoder" else 0)
        kept, cut = list(others), 0
        whole, ids = self.rendered(messages := template(example, text, kept))
        while len(ids) > free and kept:
            kept.pop()
            whole, ids = self.rendered(messages := template(example, text, kept))
        if len(ids) > free:
            example, cut = self._cut(example, text, free)
            whole, ids = self.rendered(messages := template(example, text))
        self._refuse_left_out(example, messages, whole, len(kept))
        if not ids:
            raise PromptError(
                f"example '{example.id}' (row {example.row}): the prompt has no token, because the model's tokenizer "
                "passes over all of it; choose another model"
            )
        return Prompt(
            id=example.id,
            text=whole,
            prompt_ids=tuple(ids),
            target_ids=tuple(target_ids) if target_ids is not None else None,
            shots=tuple(shot.id for shot in kept),
            shots_dropped=len(others) - len(kept),
            tokens_cut=cut,
            label=self.labels.index(example.references[0]) if train and self.family == "encoder" else None,
        )

    def text_prompts(self, id: str, text: str, start: int, most: int) -> list[Prompt]:
        """A text that nobody asked for, as prompts of `start` alone with all tokens of a piece as the target.

        Pieces have at most `most` tokens, `start` included. The last one ends with the end token, and nothing of the
        piece before is seen. Raises PromptError for a text that spells a control token.
        """
        ids = self.target_ids(text)
        parts = range(0, len(ids), most - 1)
        return [Prompt(f"{id}/{n}", "", (start,), tuple(ids[at : at + most - 1])) for n, at in enumerate(parts)]

    def hash(self, text: str, shots: Sequence[Example]) -> str:
        """One SHA-256 over everything that shapes a prompt except its input."""
        probe = Example(id="probe", input=MARK, references=("",))
        end = str(self.end_id) if self.family != "encoder" else " ".join(self.labels)
        return sha256_of_text(self.family, self.text(template(probe, text, shots)), end)

    def _cut(self, example: Example, text: str, free: int) -> tuple[Example, int]:
        """The example with its input cut at the end so that the prompt has at most `free` tokens, and how many went."""

        def prompt_length(characters: int) -> int:
            return len(self.render(template(shortened(example, characters), text))[0])

        # Cut between characters, not between tokens: a token may be half a character, and decoding may change spaces.
        kept = bisect_right(range(cuttable(example)), free, key=prompt_length) - 1
        if kept < 1:
            raise PromptError(
                f"example '{example.id}' (row {example.row}): the instruction alone does not fit into "
                f"{max(0, free)} tokens; shorten the template or choose a model with a larger context window"
            )
        cut = shortened(example, kept)
        lengths = [len(self.ids(one.input, special=False)) for one in (example, cut)]
        return cut, max(1, lengths[0] - lengths[1])

    def ids(self, text: str, special: bool) -> list[int]:
        """Token ids; `special` adds what the tokenizer puts around plain text (T5's end, a start token).

        A chat template writes its own special tokens, so none are added there. Raises PromptError where the tokenizer
        fails: its files may hold what its library reads and cannot carry out.
        """
        try:
            # Not verbose: what is cut, we say.
            return list(self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])
        except (KeyboardInterrupt, SystemExit, MemoryError, UnicodeError):
            raise
        except BaseException as error:  # a panic of the library's Rust is no Exception
            said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            place = getattr(self.tokenizer, "name_or_path", "") or "the model"
            raise PromptError(
                f"{place}: the tokenizer cannot read the text '{text[:40].strip()}...' ({said}); use another model"
            ) from error

    def _refuse_left_out(self, example: Example, messages: Sequence[Message], whole: str, shots: int) -> None:
        """Raises PromptError where words of a message do not stand in the prompt, in their order. `shots` stand first,
        behind the system's words.
        """
        if not self.chat_template or (place := first_left_out(messages, whole)) is None:
            return
        rules = sum(message["role"] == RULES for message in messages[:1])
        number = place + 1 - rules
        what = (
            "the system's words" if number == 0
            else f"the {'answer' if number % 2 == 0 else 'question'} of shot {(number + 1) // 2}"
            if number <= 2 * shots
            else "the input" if place + 1 == len(messages) else "an earlier turn"
        )  # fmt: skip
        raise PromptError(
            f"example '{example.id}' (row {example.row}): {self.chat_template.file}: the chat template leaves "
            f"out or changes {what}; mend it, or choose another model"
        )

    def spelled(self, *texts: str) -> str | None:
        """The first control token that a text spells: it would end a turn in the middle of the text."""
        return next((found[0] for text in texts if (found := self._control.search(text))), None)

    @cached_property
    def _control(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, sorted(self.control_tokens))) or "(?!)")

    def _refuse_control_tokens(self, text: str, where: str = "") -> None:
        """Raises PromptError for a text that spells one of the model's control tokens, which would end a turn."""
        if spelled := self.spelled(text):
            raise PromptError(
                f"{where}the text '{text[:40].strip()}...' spells the model's control token "
                f"'{spelled}'; replace it in the data"
            )


def first_left_out(messages: Sequence[Message], whole: str) -> int | None:
    """The index of the first message whose words do not stand in a prompt behind those before it; None where all do.

    Blanks do not count, because templates trim them.
    """
    rest = "".join(whole.split())
    for place, message in enumerate(messages):
        if words := "".join(message["content"].split()):
            _, found, rest = rest.partition(words)
            if not found:
                return place
    return None


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many first tokens all prompts share, at most one less than the shortest has; 0 for a single prompt."""
    if len(prompts) < 2:
        return 0
    ordered = sorted(map(tuple, prompts))
    first, last = ordered[0], ordered[-1]  # in lexical order, so all others share what these two share
    most = min(map(len, prompts)) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)


def paint(prompt: Prompt, tokenizer: Any) -> list[tuple[str, bool]]:
    """The tokens as (text, supervised) in order: the target's tokens, end token included, are the trained ones."""
    ids = [(i, False) for i in prompt.prompt_ids] + [(i, True) for i in prompt.target_ids or ()]
    return [(tokenizer.decode([i]), trained) for i, trained in ids]
