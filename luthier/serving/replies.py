"""Answers -> what a client receives: pieces of text as the engine makes them, whole replies, or chunks of a stream."""

from __future__ import annotations

import asyncio
import json
import math
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from luthier.decoding.answers import label_logprobs
from luthier.decoding.likelihood import read_tokens
from luthier.decoding.requests import Event
from luthier.decoding.text import TextStream
from luthier.errors import LuthierError
from luthier.model.model import Model
from luthier.records import Prompt
from luthier.serving.engine import Closed, Engine, Work
from luthier.serving.prepare import Question
from luthier.serving.protocol import (
    ChatChoice,
    ChatLogprobs,
    ChatMessage,
    ChatReply,
    CompletionReply,
    Refusal,
    Rival,
    TextChoice,
    TextLogprobs,
    TokenLogprob,
    Usage,
)

SMALLEST = 1e-38  # a probability that rounds to 0 has a logarithm too
ENDING_SECONDS = 5  # after which a client should come again where the server ends


def ending() -> Refusal:
    """A server that ends, or whose engine is dead, takes no request."""
    said = "the server is ending or its engine is dead; try again later"
    return Refusal(said, status=503, kind="server_error", code="unavailable", retry_after=ENDING_SECONDS)


@dataclass(frozen=True)
class Shown:
    """A token with its log-probability in nats and its likeliest rivals; None where nothing stands before it."""

    text: str
    logprob: float | None
    rivals: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """More of choice `index`: text, the tokens that it came from, and with the last piece why the answer ended."""

    index: int
    text: str
    shown: tuple[Shown, ...] = ()
    finish: str | None = None


@dataclass
class _Choice:
    """An answer in the making."""

    stream: TextStream
    tokens: int = 0
    finish: str | None = None


class Conversation:
    """One question while it is answered: `begin` hands it to the engine, `pieces` gives what comes."""

    def __init__(self, engine: Engine, question: Question, kind: str, client: str = "") -> None:
        self.engine, self.question, self.client = engine, question, client
        self.id, self.created = f"{kind}-{uuid.uuid4().hex}", int(time.time())
        self.works: list[Work] = []
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()
        strip = not question.served.raw
        tokenizer = question.served.model.tokenizer
        self.choices = [
            _Choice(TextStream(tokenizer, question.stops, strip=strip))
            for _ in range(len(question.prompts) * question.choices)
        ]

    def begin(self) -> None:
        """Raises Full or Closed when the engine does not take it."""
        served, question = self.question.served, self.question
        for index, request in enumerate(question.requests(self.id)):
            deliver = self._deliverer(index)
            prompt = question.prompts[index // question.choices]
            if not served.writes:
                choose = partial(_labels, served.model, prompt)
                self.works.append(Work(served, deliver, call=choose, client=self.client))
                continue
            if question.echo and question.rivals is not None:
                read = partial(read_tokens, served.model, request.id, request.prompt_ids, question.rivals)
                self.works.append(Work(served, deliver, call=read, client=self.client))
            if question.limit:
                self.works.append(Work(served, deliver, request, client=self.client))
        if self.works:
            self.engine.submit(self.works)

    def cancel(self) -> None:
        """Frees the places of what is not finished."""
        if any(choice.finish is None for choice in self.choices):
            self.engine.cancel(self.works)

    def _deliverer(self, index: int) -> Any:
        def deliver(event: Any) -> None:
            try:
                self._loop.call_soon_threadsafe(self._events.put_nowait, (index, event))
            except RuntimeError:  # the loop is closed: nobody reads any more
                return

        return deliver

    @property
    def usage(self) -> Usage:
        prompt = sum(len(prompt.prompt_ids) for prompt in self.question.prompts)
        return Usage.of(prompt, sum(choice.tokens for choice in self.choices))

    async def pieces(self) -> AsyncIterator[Piece]:
        """What comes, until every choice is finished. Raises Refusal when the engine cannot go on."""
        question = self.question
        reads = question.echo and question.rivals is not None and question.served.writes
        if question.echo and not reads:
            for index in range(len(self.choices)):
                yield Piece(index, self._prompt_text(index), finish=self._finish_unasked(index))
        while any(choice.finish is None for choice in self.choices):
            index, event = await self._events.get()
            if isinstance(event, Closed):
                raise ending()
            if isinstance(event, LuthierError):
                raise Refusal(str(event))
            for piece in self._piece(index, event):
                yield piece

    def _finish_unasked(self, index: int) -> str | None:
        """Of a choice of which only the prompt is shown."""
        if not self.question.limit:
            self.choices[index].finish = "length"
        return self.choices[index].finish

    def _prompt_text(self, index: int) -> str:
        prompt = self.question.prompts[index // self.question.choices]
        return str(self.question.served.model.tokenizer.decode(prompt.prompt_ids, skip_special_tokens=True))

    def _piece(self, index: int, event: Any) -> Iterator[Piece]:
        choice, question = self.choices[index], self.question
        tokenizer = question.served.model.tokenizer
        if isinstance(event, list) and not question.served.writes:
            choice.tokens, choice.finish = 1, "stop"
            yield _label(index, question, event)
        elif isinstance(event, list):  # the prompt, read
            first = question.prompts[index // question.choices].prompt_ids[0]
            shown = (Shown(tokenizer.decode([first]), None), *(_shown(tokenizer, one) for one in event))
            yield Piece(index, self._prompt_text(index), shown, self._finish_unasked(index))
        elif choice.finish is None:
            choice.tokens += 1
            text = choice.stream.add(event.token, last=event.stop is not None)
            if choice.stream.stopped:
                choice.finish = "stop"
                self.engine.cancel([work for work in self.works if work.request and work.request.id == event.id])
            elif event.stop is not None:
                choice.finish = "stop" if event.stop == "end" else "length"
            yield Piece(index, text, () if question.rivals is None else (_shown(tokenizer, event),), choice.finish)


def _labels(model: Model, prompt: Prompt) -> list[float]:
    return label_logprobs(model, [prompt])[0]


def _label(index: int, question: Question, logprobs: Sequence[float]) -> Piece:
    """The likeliest label; its log-probability is that among the labels."""
    pairs = sorted(zip(question.served.model.labels, logprobs, strict=True), key=lambda pair: -pair[1])
    best, logprob = pairs[0]
    shown = Shown(best, logprob, tuple(pairs[: question.rivals or 0]))
    return Piece(index, best, () if question.rivals is None else (shown,), "stop")


def _shown(tokenizer: Any, event: Event) -> Shown:
    rivals = [(tokenizer.decode([one.token]), math.log(max(one.before, SMALLEST))) for one in event.candidates]
    return Shown(tokenizer.decode([event.token]), event.logprob, tuple(rivals))


# --------------------------------------------------------------------------------------------------- whole replies


async def chat_reply(conversation: Conversation) -> ChatReply:
    made = await _joined(conversation)
    rivals = conversation.question.rivals
    choices = [
        ChatChoice(
            index=index, message=ChatMessage(content=text), finish_reason=finish,
            logprobs=None if rivals is None else _chat_logprobs(shown),
        )
        for index, (text, shown, finish) in enumerate(made)
    ]  # fmt: skip
    return ChatReply(**_head(conversation), usage=conversation.usage, choices=choices)


async def completion_reply(conversation: Conversation) -> CompletionReply:
    made = await _joined(conversation)
    rivals = conversation.question.rivals
    choices = [
        TextChoice(
            index=index, text=text, finish_reason=finish,
            logprobs=None if rivals is None else _text_logprobs(shown, rivals, 0),
        )
        for index, (text, shown, finish) in enumerate(made)
    ]  # fmt: skip
    return CompletionReply(**_head(conversation), usage=conversation.usage, choices=choices)


async def _joined(conversation: Conversation) -> list[tuple[str, list[Shown], Any]]:
    """Each choice's text, tokens and end."""
    texts: list[list[str]] = [[] for _ in conversation.choices]
    shown: list[list[Shown]] = [[] for _ in conversation.choices]
    async for piece in conversation.pieces():
        texts[piece.index].append(piece.text)
        shown[piece.index] += piece.shown
    finishes = [choice.finish for choice in conversation.choices]
    return [("".join(text), tokens, finish) for text, tokens, finish in zip(texts, shown, finishes, strict=True)]


def _head(conversation: Conversation) -> dict[str, Any]:
    served = conversation.question.served
    return {
        "id": conversation.id,
        "created": conversation.created,
        "model": served.id,
        "system_fingerprint": served.fingerprint,
        "luthier": conversation.question.about,
    }


def _chat_logprobs(shown: Sequence[Shown]) -> ChatLogprobs:
    def rival(text: str, logprob: float | None) -> dict[str, Any]:
        return {"token": text, "logprob": logprob or 0.0, "bytes": list(text.encode())}

    content = [
        TokenLogprob(**rival(one.text, one.logprob), top_logprobs=[Rival(**rival(*pair)) for pair in one.rivals])
        for one in shown
    ]
    return ChatLogprobs(content=content)


def _text_logprobs(shown: Sequence[Shown], rivals: int, offset: int) -> TextLogprobs:
    offsets = []
    for one in shown:
        offsets.append(offset)
        offset += len(one.text)
    top = [dict(one.rivals) if one.logprob is not None else None for one in shown] if rivals else None
    return TextLogprobs(
        tokens=[one.text for one in shown],
        token_logprobs=[one.logprob for one in shown],
        top_logprobs=top,
        text_offset=offsets,
    )


# --------------------------------------------------------------------------------------------------------- streams


async def stream(conversation: Conversation, *, chat: bool, usage: bool, running_usage: bool) -> AsyncIterator[str]:
    """Server-sent events: one chunk for each piece that says something, perhaps the usage, and [DONE].

    What goes wrong after the first byte is an event too, since the status is sent already.
    """
    head = {**_head(conversation), "object": "chat.completion.chunk" if chat else "text_completion"}
    head["luthier"] = conversation.question.about.model_dump()
    offsets = [0] * len(conversation.choices)

    def chunk(choice: dict[str, Any]) -> str:
        counted = {"usage": conversation.usage.model_dump()} if running_usage else {"usage": None} if usage else {}
        return _event({**head, "choices": [choice], **counted})

    try:
        if chat:
            for index in range(len(conversation.choices)):
                delta = {"role": "assistant", "content": ""}
                yield chunk({"index": index, "delta": delta, "logprobs": None, "finish_reason": None})
        async for piece in conversation.pieces():
            if piece.text or piece.shown:
                yield chunk(_part(piece, conversation, chat, offsets))
            if piece.finish:
                empty: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
                yield chunk({"index": piece.index, **empty, "logprobs": None, "finish_reason": piece.finish})
        if usage:
            yield _event({**head, "choices": [], "usage": conversation.usage.model_dump()})
    except Refusal as refusal:
        yield _event(refusal.body())
    finally:
        conversation.cancel()
    yield "data: [DONE]\n\n"


def _part(piece: Piece, conversation: Conversation, chat: bool, offsets: list[int]) -> dict[str, Any]:
    rivals = conversation.question.rivals
    logprobs: dict[str, Any] | None = None
    if rivals is not None and piece.shown:
        if chat:
            logprobs = _chat_logprobs(piece.shown).model_dump()
        else:
            logprobs = _text_logprobs(piece.shown, rivals, offsets[piece.index]).model_dump()
            offsets[piece.index] += sum(len(one.text) for one in piece.shown)
    said: dict[str, Any] = {"delta": {"content": piece.text}} if chat else {"text": piece.text}
    return {"index": piece.index, **said, "logprobs": logprobs, "finish_reason": None}


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"
