"""What a client may send, field by field, and what a client receives: the part of OpenAI's interface that is served.

Every field is applied, or listed as ignored in the reply, or refused with its name. A field that is not given, or null,
means what the arm was measured with. No torch is imported here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from luthier.settings import is_text

MOST_CHOICES, MOST_RIVALS, MOST_STOPS, MOST_PROMPTS = 8, 20, 16, 64


def _whole(text: str) -> str:
    """The text, where UTF-8 can hold it. JSON can spell half of a surrogate pair."""
    if not is_text(text):
        raise ValueError("it holds half of a surrogate pair, which no text has")
    return text


Text = Annotated[str, AfterValidator(_whole)]


class Neutral:
    """Values of a field that ask for nothing."""

    def __init__(self, *values: Any) -> None:
        self.values = values


class Body(BaseModel):
    """Base of what a client sends. A text is no number, NaN is refused, unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(Body):
    """How a stream is sent."""

    include_usage: bool | None = Field(None, description="one more chunk at the end, with the usage and no choices")
    continuous_usage_stats: bool | None = Field(None, description="the usage so far in every chunk")
    include_obfuscation: bool | None = Field(None, description="ignored")


class TextPart(Body):
    """A part of a message; only texts are read."""

    type: Literal["text"]
    text: Text


class Message(Body):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]
    name: Text | None = Field(None, description="ignored")

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class WithoutEffect(Body):
    """Fields of the interface that decide nothing here. They are accepted and named in the reply."""

    user: Any = None
    metadata: Any = None
    store: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    service_tier: Any = None
    parallel_tool_calls: Any = None


class NotServed(Body):
    """Fields that ask for what no arm does; of each the values that ask for nothing, with which it is accepted."""

    tools: Annotated[Any, Neutral([])] = None
    tool_choice: Annotated[Any, Neutral("none", "auto")] = None
    functions: Annotated[Any, Neutral([])] = None
    function_call: Annotated[Any, Neutral("none", "auto")] = None
    response_format: Annotated[Any, Neutral({"type": "text"})] = None
    presence_penalty: Annotated[Any, Neutral(0)] = None
    frequency_penalty: Annotated[Any, Neutral(0)] = None
    logit_bias: Annotated[Any, Neutral({})] = None
    modalities: Annotated[Any, Neutral(["text"])] = None
    audio: Annotated[Any, Neutral()] = None
    prediction: Annotated[Any, Neutral()] = None
    reasoning_effort: Annotated[Any, Neutral()] = None
    suffix: Annotated[Any, Neutral("")] = None
    best_of: Annotated[Any, Neutral(1)] = None


IGNORED = tuple(WithoutEffect.model_fields)
REFUSED: dict[str, tuple[Any, ...]] = {name: field.metadata[0].values for name, field in NotServed.model_fields.items()}


class Asked(WithoutEffect, NotServed):
    """The fields that chat and completions share."""

    model: Text = Field(description="an id of /v1/models")
    max_tokens: int | None = Field(None, ge=0, le=8192, description="most new tokens; null: the arm's measured limit")
    temperature: float | None = Field(None, ge=0, le=10, description="null: as measured; 0 is greedy")
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=2**31 - 1, description="0: all tokens")
    repetition_penalty: float | None = Field(None, ge=0.1, le=10)
    n: int | None = Field(None, ge=1, le=MOST_CHOICES, description="answers to each prompt")
    stop: Text | list[Text] | None = Field(None, description="an answer ends before the first of these strings")
    seed: int | None = Field(None, ge=0, lt=2**63, description="null: the arm's own seed")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: bool | None = Field(None, description="write up to the limit, past the end token")

    @property
    def limit(self) -> int | None:
        return self.max_tokens

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())

    @property
    def rivals(self) -> int | None:
        """How many likeliest tokens each token is shown with; None: no log-probabilities."""
        return None

    @property
    def ignored(self) -> list[str]:
        """The given fields that decide nothing."""
        return [name for name in IGNORED if getattr(self, name) is not None]

    @property
    def refused(self) -> str | None:
        """The first given field that asks for what is not served."""
        for name, neutral in REFUSED.items():
            if (value := getattr(self, name)) is not None and value not in neutral:
                if name == "best_of" and value == self.n:
                    continue
                return name
        return None


class ChatRequest(Asked):
    """The body of /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1, description="of a measured arm: one user message, its input")
    max_completion_tokens: int | None = Field(None, ge=0, le=8192, description="the newer name of max_tokens")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MOST_RIVALS)

    @property
    def limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def rivals(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Asked):
    """The body of /v1/completions."""

    prompt: Text | list[Text] | list[int] | list[list[int]] = Field(description="texts or token ids, one or several")
    logprobs: int | None = Field(None, ge=0, le=MOST_RIVALS)
    echo: bool | None = Field(None, description="begin the text with the prompt; not of a measured arm")

    @property
    def rivals(self) -> int | None:
        return self.logprobs


# --------------------------------------------------------------------------------------------------- what comes back


class Reply(BaseModel):
    """Base of what a client receives."""

    model_config = ConfigDict(frozen=True)


class Usage(Reply):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, prompt: int, completion: int) -> Usage:
        return cls(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


class About(Reply):
    """What no other server says: whether this very setting was measured, and on which prompt."""

    arm: str
    measured: bool
    prompt_sha256: str | None
    ignored: list[str] = []
    tokens_cut: int = Field(0, description="input tokens that did not fit and were cut, as in the study")


class Rival(Reply):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(Rival):
    top_logprobs: list[Rival]


class ChatLogprobs(Reply):
    content: list[TokenLogprob]
    refusal: None = None


class TextLogprobs(Reply):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class ChatMessage(Reply):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Reply):
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"]


class TextChoice(Reply):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length"]


class Answered(Reply):
    id: str
    created: int
    model: str
    system_fingerprint: str
    usage: Usage
    luthier: About


class ChatReply(Answered):
    object: Literal["chat.completion"] = "chat.completion"
    choices: list[ChatChoice]


class CompletionReply(Answered):
    object: Literal["text_completion"] = "text_completion"
    choices: list[TextChoice]


class ModelCard(Reply):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["luthier"] = "luthier"


class ModelList(Reply):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class Problem(Reply):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorReply(Reply):
    error: Problem


class Health(Reply):
    status: Literal["ok", "ending", "dead"]
    models: dict[str, Literal["continuous", "batches"]]
    streams: int
    waiting: int


class Refusal(Exception):
    """A request that is not answered: becomes an error in OpenAI's shape."""

    def __init__(
        self, message: str, *, param: str | None = None, status: int = 400, code: str | None = None,
        kind: str = "invalid_request_error", retry_after: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.retry_after = status, retry_after
        self.problem = Problem(message=message, type=kind, param=param, code=code)

    def body(self) -> dict[str, Any]:
        return ErrorReply(error=self.problem).model_dump()
