"""What a client sent -> requests to the engine: prompts rendered, settings filled in, and what is refused.

A measured arm takes one input and renders it as in the study. Its weights alone, or a bare model, take messages, texts
or token ids as they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.decoding.requests import Request, seed_of
from luthier.decoding.settings import Generation
from luthier.errors import PromptError, SettingsError
from luthier.records import Prompt
from luthier.scoring.reasoning import without_reasoning
from luthier.serving.protocol import MOST_PROMPTS, MOST_STOPS, About, Asked, ChatRequest, CompletionRequest, Refusal
from luthier.serving.served import RAW, Served
from luthier.settings import settings_from
from luthier.task.chat_template import Message
from luthier.task.parts import REPLY, RULES
from luthier.task.prompt import first_left_out

LONGEST_LETTERS = 64  # letters for each token of the context window; longer texts are not even looked at
_SETTINGS = ("temperature", "top_p", "top_k", "repetition_penalty")


@dataclass(frozen=True)
class Question:
    """What is asked of one served name: prompts, and for each of them `choices` answers."""

    served: Served
    prompts: tuple[Prompt, ...]
    choices: int
    limit: int  # most new tokens; 0: the prompt alone is read
    generation: Generation
    seed: int
    stops: tuple[str, ...]
    rivals: int | None
    echo: bool
    ends: bool
    about: About

    def requests(self, id: str) -> list[Request]:
        """One request for each answer, the choices of a prompt one after the other."""
        return [
            Request(
                f"{id}-{place}-{choice}", prompt.prompt_ids, self.limit, self.generation,
                # "choice" keeps it apart from the seeds of samples, of which each choice may have several.
                seed_of(self.seed, "choice", choice) if choice else self.seed, self.rivals or 0, self.ends,
            )
            for place, prompt in enumerate(self.prompts)
            for choice in range(self.choices)
        ]  # fmt: skip


def prepare(served: Served, asked: ChatRequest | CompletionRequest) -> Question:
    """The question of a client. Raises Refusal for what is not served, does not fit, or is no input."""
    _refuse(served, asked)
    generation = _generation(served, asked)
    prompts = _prompts(served, asked)
    echo = isinstance(asked, CompletionRequest) and bool(asked.echo)
    most = served.arm.generation.max_new_tokens or 1
    limit = _limit(served, asked.limit, most, prompts, echo)
    own = served.arm
    unchanged = generation == own.generation and limit == most and not asked.stops and not asked.ignore_eos
    same_seed = asked.seed in (None, own.seed) or generation.temperature == 0
    return Question(
        served=served,
        prompts=tuple(prompts),
        choices=asked.n or 1,
        limit=limit,
        generation=generation,
        seed=own.seed if asked.seed is None else asked.seed,
        stops=tuple(asked.stops),
        rivals=asked.rivals,
        echo=echo,
        ends=not asked.ignore_eos,
        about=About(
            arm=served.id,
            measured=not served.raw and ((unchanged and same_seed) or not served.writes),
            prompt_sha256=served.prompt_sha256,
            ignored=[*asked.ignored, *_without_effect(served, asked)],
            tokens_cut=sum(prompt.tokens_cut for prompt in prompts),
        ),
    )


def _refuse(served: Served, asked: Asked) -> None:
    """Raises Refusal for fields that ask for what no name here does, or this one does not."""
    if (field := asked.refused) is not None:
        raise Refusal(f"'{field}' is not served here; leave it out", param=field, code="unsupported_parameter")
    if len(asked.stops) > MOST_STOPS:
        raise Refusal(f"'stop' has {len(asked.stops)} strings; give at most {MOST_STOPS}", param="stop")
    if any(not stop for stop in asked.stops):
        raise Refusal("'stop' holds an empty string, with which every answer would end; leave it out", param="stop")
    if isinstance(asked, ChatRequest) and asked.top_logprobs and not asked.logprobs:
        raise Refusal("'top_logprobs' needs 'logprobs': true", param="top_logprobs")
    if isinstance(asked, CompletionRequest) and asked.echo and not served.raw:
        raise Refusal(_raw_instead(served, "'echo' shows a prompt that the client did not write"), param="echo")
    if isinstance(asked, CompletionRequest) and asked.echo and served.model.family != "decoder":
        raise Refusal("'echo' is served for decoders alone; leave it out", param="echo")


def _raw_instead(served: Served, why: str) -> str:
    if served.model.family == "encoder":
        return f"{served.id} is a measured arm and takes one input; {why}"
    return f"{served.id} is a measured arm and takes one input; {why}; ask {served.id}{RAW} for that"


def _without_effect(served: Served, asked: Asked) -> list[str]:
    """Fields that change nothing where a label is chosen."""
    names = (*_SETTINGS, "max_tokens", "max_completion_tokens", "seed", "stop", "ignore_eos")
    return [] if served.writes else [name for name in names if getattr(asked, name, None) is not None]


def _generation(served: Served, asked: Asked) -> Generation:
    given = {name: value for name in _SETTINGS if (value := getattr(asked, name)) is not None}
    try:
        return settings_from(Generation, served.arm.generation.model_dump() | given, "request")
    except SettingsError as problem:
        raise Refusal(str(problem), param=next(iter(given), None)) from None


def _limit(served: Served, given: int | None, most: int, prompts: Sequence[Prompt], echo: bool) -> int:
    """The most new tokens of every answer."""
    if not served.writes:
        return most
    if given == 0 and not echo:
        raise Refusal("'max_tokens' is 0; give 1 or more", param="max_tokens")
    window = served.model.renderer.window
    longest = max(len(prompt.prompt_ids) for prompt in prompts)
    room = window - longest if served.model.family == "decoder" else window
    limit = given if given is not None else most if not served.raw else min(most, room)
    if limit > room or (limit < 1 and not echo):
        raise Refusal(
            f"{longest} prompt tokens and {max(limit, 1)} new ones do not fit into the context window of {window}; "
            "shorten the prompt or ask for fewer tokens",
            param="max_tokens" if given is not None else None,
            code="context_length_exceeded",
        )
    return limit


# ------------------------------------------------------------------------------------------------------- prompts


def _prompts(served: Served, asked: ChatRequest | CompletionRequest) -> list[Prompt]:
    try:
        if isinstance(asked, ChatRequest):
            return [_of_messages(served, asked)]
        return [_of_prompt(served, prompt) for prompt in _several(asked.prompt)]
    except PromptError as problem:  # such as a text that spells a control token
        raise Refusal(str(problem), param="messages" if isinstance(asked, ChatRequest) else "prompt") from None


def _of_messages(served: Served, asked: ChatRequest) -> Prompt:
    messages, param = asked.messages, "messages"
    for message in messages:
        _refuse_length(served, message.text, param)
    if served.raw:
        plain = [{"role": _role(message.role), "content": message.text} for message in messages]
        whole, ids = served.model.renderer.rendered(plain)
        _refuse_left_out(plain, whole, param)
        return _as_prompt(served, ids, param)
    if len(messages) != 1 or messages[0].role != "user":
        raise Refusal(_raw_instead(served, "these are several messages, or one that is not the user's"), param=param)
    return _of_input(served, messages[0].text, param)


def _refuse_left_out(messages: Sequence[Message], whole: str, param: str) -> None:
    """Raises Refusal where the model's chat template leaves out, or changes, what a message says.

    Templates leave out on purpose how an earlier answer was reasoned, and some move the words of the system.
    """
    turns = [one | {"content": without_reasoning(one["content"])} if one["role"] == REPLY else one for one in messages]
    rules = [number for number, turn in enumerate(turns, 1) if turn["role"] == RULES]
    others = [number for number, turn in enumerate(turns, 1) if turn["role"] != RULES]
    for numbers in (others, *([number] for number in rules)):
        if (place := first_left_out([turns[number - 1] for number in numbers], whole)) is not None:
            number = numbers[place]
            raise Refusal(
                f"the model's chat template leaves out or changes message {number}, whose role is "
                f"'{turns[number - 1]['role']}'; say it in another message",
                param=param,
            )


def _role(role: str) -> str:
    return "system" if role == "developer" else role


def _several(prompt: Any) -> list[Any]:
    """The prompts of a field that may hold one or several: each a text, or token ids."""
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise Refusal("'prompt' is empty; give a text", param="prompt")
    several = [prompt] if isinstance(prompt[0], int) else list(prompt)
    if len(several) > MOST_PROMPTS:
        raise Refusal(f"'prompt' holds {len(several)} prompts; give at most {MOST_PROMPTS} at once", param="prompt")
    return several


def _of_prompt(served: Served, prompt: str | list[int]) -> Prompt:
    if isinstance(prompt, str):
        _refuse_length(served, prompt, "prompt")
        if not served.raw:
            return _of_input(served, prompt, "prompt")
        renderer = served.model.renderer
        spelled = [{"role": "user", "content": prompt}]
        if renderer.chats:  # a completion goes on with the text itself, without any chat around it
            ids = renderer.ids(prompt, special=True)
        else:
            ids, _ = renderer.render(spelled)
        return _as_prompt(served, ids, "prompt")
    if not served.raw:
        raise Refusal(_raw_instead(served, "token ids are no input"), param="prompt")
    vocabulary = len(served.model.tokenizer)
    if wrong := [token for token in prompt if not 0 <= token < vocabulary]:
        raise Refusal(f"'prompt' holds the token {wrong[0]}; ids go from 0 to {vocabulary - 1}", param="prompt")
    return _as_prompt(served, prompt, "prompt")


def _as_prompt(served: Served, ids: Sequence[int], param: str) -> Prompt:
    if not ids:
        raise Refusal(f"'{param}' is empty; give a text", param=param)
    window = served.model.renderer.window
    if len(ids) > window:
        raise Refusal(
            f"the prompt has {len(ids)} tokens, more than the context window of {window}; shorten it",
            param=param, code="context_length_exceeded",
        )  # fmt: skip
    return Prompt("input", "", tuple(ids))


def _of_input(served: Served, text: str, param: str) -> Prompt:
    if not text.strip():
        raise Refusal(f"'{param}' is empty; give the input to answer", param=param)
    return served.arm.prompt(text)


def _refuse_length(served: Served, text: str, param: str) -> None:
    most = LONGEST_LETTERS * served.model.window
    if len(text) > most:
        raise Refusal(
            f"a text of '{param}' has {len(text):,} letters; at most {most:,} are read",
            param=param, code="context_length_exceeded",
        )  # fmt: skip
