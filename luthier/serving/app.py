"""The addresses of the server, in OpenAI's shape.

GET  /v1/models, /v1/models/{id}     what can be asked
POST /v1/chat/completions            messages -> a reply, whole or streamed
POST /v1/completions                 a text, texts or token ids -> the same
GET  /health                         200 while the engine answers, 503 when it ends or is dead
GET  /metrics                        counts, in Prometheus' text format
GET  /ping, POST /invocations        the same as SageMaker asks for it: no name is needed, {"input": "..."} is enough
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from luthier.serving import replies
from luthier.serving.engine import Closed, Engine, Full, TooMany, joins
from luthier.serving.guard import Guard, Rules
from luthier.serving.prepare import prepare
from luthier.serving.protocol import (
    ChatReply,
    ChatRequest,
    CompletionReply,
    CompletionRequest,
    ErrorReply,
    Health,
    ModelCard,
    ModelList,
    Refusal,
)
from luthier.serving.replies import Conversation, ending
from luthier.serving.served import Served

RETRY_SECONDS = 2  # after which a refused client should come again
INVOCATION_SECONDS = 55.0  # SageMaker gives an invocation 60 s, and then says nothing of why it ended
CLIENT_GONE = 499  # nobody reads this status; nginx writes it into its log
_REFUSALS = (400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503, 504)
_ERRORS: dict[int | str, dict[str, Any]] = {status: {"model": ErrorReply} for status in _REFUSALS}
_BRANCH = re.compile(r"\[|^(str|int|float|bool|TextPart)$")
_WORDS = {404: "there is no such address here; see /v1/models", 405: "this address takes another method"}


def make_app(served: Mapping[str, Served], engine: Engine, rules: Rules) -> Any:
    """The ASGI application, behind its guard."""
    app = FastAPI(title="luthier", docs_url=None, redoc_url=None, responses=_ERRORS)
    started = int(time.time())
    _add_errors(app)

    @app.get("/v1/models", response_model=ModelList)
    async def models() -> ModelList:
        return ModelList(data=[ModelCard(id=name, created=started) for name in served])

    @app.get("/v1/models/{name:path}", response_model=ModelCard)
    async def model(name: str) -> ModelCard:
        return ModelCard(id=_named(served, name).id, created=started)

    @app.post("/v1/chat/completions", response_model=ChatReply)
    async def chat(asked: ChatRequest, request: Request) -> Response:
        return await _answer(served, engine, asked, request)

    @app.post("/v1/completions", response_model=CompletionReply)
    async def completions(asked: CompletionRequest, request: Request) -> Response:
        return await _answer(served, engine, asked, request)

    @app.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def health() -> Response:
        writing, waiting = engine.load
        ways = {name: joins(one, one.arm.generation.way) for name, one in served.items()}
        kinds = {name: "continuous" if joining else "batches" for name, joining in ways.items()}
        status = "dead" if not engine.is_alive else "ending" if engine.is_closing else "ok"
        body = {"status": status, "models": kinds, "streams": writing, "waiting": waiting}
        return JSONResponse(body, 200 if status == "ok" else 503)

    @app.get("/ping", response_model=Health, responses={503: {"model": Health}})
    async def ping() -> Response:
        return await health()

    @app.post("/invocations")
    async def invocations(body: dict[str, Any], request: Request) -> Response:
        return await _answer(served, engine, _invoked(body, next(iter(served))), request, INVOCATION_SECONDS)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        return _metrics(engine)

    return Guard(app, rules)


def _named(served: Mapping[str, Served], name: str) -> Served:
    if name not in served:
        there = ", ".join(served)
        raise Refusal(
            f"'{name[:200]}' is not served here; there are: {there}", param="model", status=404, code="model_not_found"
        )
    return served[name]


def _invoked(body: Mapping[str, Any], first: str) -> ChatRequest | CompletionRequest:
    """The body of an invocation: messages, a prompt, or an `input`; without a model the first one is asked."""
    fields = {"model": first, **body}
    if "input" in fields and "prompt" not in fields and "messages" not in fields:
        fields["prompt"] = fields.pop("input")
    try:
        return (ChatRequest if "messages" in fields else CompletionRequest).model_validate(fields)
    except ValidationError as problems:
        if not {"prompt", "messages"} & set(fields):
            raise Refusal('the body asks nothing; send {"input": "..."}', code="missing_required_parameter") from None
        first_error = problems.errors(include_url=False)[0]
        named = ["input" if step == "prompt" and "input" in body else step for step in first_error["loc"]]
        raise _invalid({**first_error, "loc": ("body", *named)}) from None


async def _answer(
    served: Mapping[str, Served],
    engine: Engine,
    asked: ChatRequest | CompletionRequest,
    request: Request,
    seconds: float | None = None,
) -> Response:
    """seconds: how long a whole reply may take; None: as long as the client waits."""
    one = _named(served, asked.model)
    client = request.client.host if request.client else ""
    _refuse_when_full(engine, client)  # before the prompt is rendered, so that it takes no time
    question = await anyio.to_thread.run_sync(prepare, one, asked)
    chat = isinstance(asked, ChatRequest)
    conversation = Conversation(engine, question, "chatcmpl" if chat else "cmpl", client)
    try:
        conversation.begin()
    except (Full, Closed) as refused:
        raise _not_now(engine, refused) from None
    if asked.stream:
        options = asked.stream_options
        usage = bool(options and options.include_usage)
        running = bool(options and options.continuous_usage_stats)
        return _Stream(conversation, replies.stream(conversation, chat=chat, usage=usage, running_usage=running))
    whole = replies.chat_reply(conversation) if chat else replies.completion_reply(conversation)
    return await _unless_gone(whole, conversation, request, seconds)


def _refuse_when_full(engine: Engine, client: str) -> None:
    try:
        engine.refuse_when_full(client=client)
    except (Full, Closed) as refused:
        raise _not_now(engine, refused) from None


def _not_now(engine: Engine, refused: Full | Closed) -> Refusal:
    if isinstance(refused, TooMany):
        return Refusal(
            f"one client may have {engine.per_client} answers at once here; ask again when one of yours has ended",
            status=429, kind="rate_limit_error", code="too_many_streams", retry_after=RETRY_SECONDS,
        )  # fmt: skip
    if isinstance(refused, Full):
        return Refusal(
            "too many requests are waiting; try again later",
            status=429, kind="rate_limit_error", code="queue_full", retry_after=RETRY_SECONDS,
        )  # fmt: skip
    return ending()


class _Stream(StreamingResponse):
    """A stream that frees its places however it ends, even if nobody reads its first byte."""

    def __init__(self, conversation: Conversation, chunks: Any) -> None:
        super().__init__(chunks, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self.conversation = conversation

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.conversation.cancel()


async def _unless_gone(whole: Any, conversation: Conversation, request: Request, seconds: float | None) -> Response:
    """The whole reply; a client that hangs up before it is there, or that waited too long, frees his place."""
    answer, gone = asyncio.ensure_future(whole), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({answer, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not answer.done():
            return Response(status_code=CLIENT_GONE)
        if not answer.done():
            raise Refusal(
                f"the answer took longer than {seconds:g} s; ask for fewer tokens with 'max_tokens', or for a stream",
                status=504, code="too_slow", kind="server_error",
            )  # fmt: skip
        return JSONResponse(answer.result().model_dump())
    finally:
        answer.cancel()
        gone.cancel()
        conversation.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


# ---------------------------------------------------------------------------------------------------------- errors


def _add_errors(app: FastAPI) -> None:
    """Every error on every path in OpenAI's shape; no reply shows anything of the server's inside."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> Response:
        headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        return JSONResponse(refusal.body(), refusal.status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, problems: RequestValidationError) -> Response:
        return await refused(request, _invalid(problems.errors()[0]))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        words = _WORDS.get(error.status_code, str(error.detail))
        reply = await refused(request, Refusal(words, status=error.status_code, code=None))
        reply.headers.update(error.headers or {})
        return reply

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return await refused(
            request, Refusal("the server made an error; its log says more", status=500, kind="server_error")
        )


def _invalid(error: Mapping[str, Any]) -> Refusal:
    """The first thing that is wrong with a body, with the field's name."""
    # The path of a field begins with 'body'; pydantic adds the branches of a union, which no client wrote.
    steps = [str(step) for step in error["loc"][1:] if not _BRANCH.search(str(step))]
    field = ".".join(steps) or None
    if error["type"] == "json_invalid":
        return Refusal("the body is not JSON", code="invalid_json")
    if field is None:
        return Refusal('the body is no table of fields, such as {"model": ...}', code="invalid_json")
    if error["type"] == "extra_forbidden":
        return Refusal(
            f"'{field}' is no field that is served here; leave it out", param=field, code="unknown_parameter"
        )
    if error["type"] == "missing":
        return Refusal(f"the field '{field}' is missing", param=field, code="missing_required_parameter")
    words = str(error["msg"]).removeprefix("Value error, ")
    return Refusal(f"the field '{field}': {words[:1].lower()}{words[1:]}", param=field, code="invalid_value")


def _metrics(engine: Engine) -> str:
    writing, waiting = engine.load
    counts = engine.counts
    rows: list[tuple[str, str, str, float]] = [
        ("requests_total", "counter", "answers that were asked for", counts.requests),
        ("finished_total", "counter", "answers that were finished", counts.finished),
        ("cancelled_total", "counter", "answers whose client went away, or whose stop string came", counts.cancelled),
        (
            "refused_total",
            "counter",
            "requests that found the queue full, or whose client had its share",
            counts.refused,
        ),
        ("failed_total", "counter", "answers that ended in an error", counts.failed),
        ("tokens_total", "counter", "new tokens", counts.tokens),
        ("steps_total", "counter", "decoding steps", counts.steps),
        ("longest_step_seconds", "gauge", "the longest that one step took", counts.longest_step_seconds),
        ("streams", "gauge", "answers that are being written", writing),
        ("waiting", "gauge", "answers that wait for a place", waiting),
        ("up", "gauge", "1 while the engine answers", float(engine.is_alive)),
    ]
    lines = (
        f"# HELP luthier_{name} {words}\n# TYPE luthier_{name} {kind}\nluthier_{name} {value:g}\n"
        for name, kind, words, value in rows
    )
    return "".join(lines)
