"""A model as lm-eval calls it: its requests go through the project's own likelihood and generator.

    loglikelihood, loglikelihood_rolling --> target_likelihoods     generate_until --> Batch

How texts are cut into tokens is lm-eval's own convention (`TemplateLM`), so that numbers are those of its `hf` model.
This file imports lm_eval, an optional package; only bench.py imports this file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import has_bos_prefix, normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from luthier.decoding.batch import Batch
from luthier.decoding.likelihood import target_likelihoods
from luthier.decoding.requests import Request, plan, seed_of
from luthier.decoding.settings import Generation
from luthier.decoding.text import TextStream
from luthier.errors import ModelError, SettingsError
from luthier.model.model import Model
from luthier.model.prepacked import laid_out_weights
from luthier.progress import bar
from luthier.records import Prompt
from luthier.settings import settings_from
from luthier.training.batches import micro_batches

BATCH_TOKENS = 2048  # padded tokens that are read together
MOST_NEW_TOKENS = 256  # of an answer, where a task says nothing; lm-eval's own number
_SAMPLING = ("temperature", "top_k", "top_p", "repetition_penalty")


class HarnessModel(TemplateLM):  # type: ignore[misc]
    """An arm or a model of ours behind lm-eval's interface. `cut` counts requests whose beginning did not fit."""

    def __init__(self, model: Model, seed: int = 0) -> None:
        super().__init__()
        if model.family == "encoder":
            raise ModelError(f"{model.name}: an encoder writes no text, so it cannot be asked a benchmark")
        self.model, self.seed, self.cut = model, seed, 0
        self.tokenizer = model.tokenizer
        self.backend = "causal" if model.family == "decoder" else "seq2seq"

    @property
    def eot_token_id(self) -> int:
        eos = self.tokenizer.eos_token_id
        return int(self.model.renderer.end_id if eos is None else eos)

    @property
    def prefix_token_id(self) -> int:
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else int(begin)

    @property
    def max_length(self) -> int:
        """The context window that a learned prompt leaves."""
        return int(self.model.renderer.window)

    @property
    def tokenizer_name(self) -> str:
        return str(self.model.folder).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        if add_special_tokens is None:
            add_special_tokens = not has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id))
        return self.model.renderer.ids(string, special=add_special_tokens)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as the model's own template writes it; a last turn of the assistant may be a beginning."""
        if add_generation_prompt:
            return self.model.renderer.text(chat_history)
        return self.model.renderer.text(chat_history[:-1]) + chat_history[-1]["content"]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        windows = [
            (number, context, wanted)
            for number, request in enumerate(requests)
            for context, wanted in map(
                make_disjoint_window,
                get_rolling_token_windows(
                    token_list=self.tok_encode(request.args[0]),
                    prefix_token=self.prefix_token_id,
                    max_seq_len=self.max_length - 1,
                    context_len=1,
                ),
            )
        ]
        found = self._loglikelihood_tokens([(("", ""), context, wanted) for _, context, wanted in windows])
        sums = [0.0] * len(requests)
        for (number, _, _), (value, _) in zip(windows, found, strict=True):
            sums[number] += value
        return sums

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        prompts = [self._prompt(number, *ids) for number, (_, *ids) in enumerate(requests)]
        found: dict[str, tuple[float, bool]] = {}
        with bar("likelihood", len(prompts), "requests") as progress:
            for batch in micro_batches(prompts, BATCH_TOKENS):
                for prompt, one in zip(batch, target_likelihoods(self.model, batch), strict=True):
                    found[prompt.id] = (-one.nats, one.is_greedy)
                progress.advance(len(batch))
        return [found[prompt.id] for prompt in prompts]

    def _prompt(self, number: int, context: list[int], wanted: list[int]) -> Prompt:
        """The request as a prompt with a target; a context that does not fit loses its beginning."""
        room = self.max_length - (len(wanted) if self.backend == "causal" else 0)
        if room < 1 or not 0 < len(wanted) <= self.max_length:
            raise SettingsError(
                f"request {number + 1}: its continuation has {len(wanted)} tokens, and the context window of "
                f"{self.model.name} holds {self.max_length}; leave this task out"
            )
        self.cut += len(context) > room
        return Prompt(str(number), "", tuple(context[-room:]), tuple(wanted))

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        groups: dict[str, list[tuple[Request, list[str]]]] = {}
        for number, request in enumerate(requests):
            made, stops = self._request(number, *request.args)
            groups.setdefault(repr(stops), []).append((made, stops))
        texts: dict[str, str] = {}
        with bar("answers", len(requests), "requests") as progress:
            for group in groups.values():
                for batch in plan([made for made, _ in group]):
                    for id, text in self._written(batch, group[0][1]):
                        texts[id] = text
                        progress.advance()
        return [texts[str(number)] for number in range(len(requests))]

    def _request(self, number: int, context: str, settings: dict[str, Any]) -> tuple[Request, list[str]]:
        asked = dict(normalize_gen_kwargs(settings, MOST_NEW_TOKENS))
        stops = [stop for stop in asked.pop("until", None) or [] if stop]
        limit, samples = int(asked.pop("max_gen_toks")), bool(asked.pop("do_sample", False))
        own = {key: value for key, value in asked.items() if key in _SAMPLING and value is not None}
        if unknown := sorted(set(asked) - set(_SAMPLING)):
            raise SettingsError(f"a task asks for '{unknown[0]}' when it generates, which luthier's generator has not")
        for key in ("temperature", "top_p", "repetition_penalty"):
            if key in own:
                own[key] = float(own[key])
        if samples:
            own.setdefault("temperature", 1.0)  # as transformers draws where nothing else is said
        else:  # what else says how to draw is said in vain
            own = {"repetition_penalty": own.get("repetition_penalty", 1.0)}
        generation = settings_from(Generation, own, "task")
        ids = self.tok_encode(context)
        room = self.max_length - (limit if self.backend == "causal" else 0)
        if room < 1 or limit > self.max_length:
            raise SettingsError(
                f"a task asks for {limit} new tokens, and the context window of {self.model.name} holds "
                f"{self.max_length}; leave this task out"
            )
        self.cut += len(ids) > room
        stops += [end] if (end := self.tokenizer.decode(self.eot_token_id)) else []
        return Request(str(number), tuple(ids[-room:]), limit, generation, seed_of(self.seed, number)), stops

    def _written(self, requests: list[Request], stops: Sequence[str]) -> Iterable[tuple[str, str]]:
        """(id, text) of each request, as they end; an answer ends before the first of the stop strings."""
        batch = Batch(self.model, requests, weights=laid_out_weights(self.model.module, rows=len(requests)))
        streams = {one.id: TextStream(self.tokenizer, stops, strip=False) for one in requests}
        texts = dict.fromkeys(streams, "")
        while batch.is_open:
            for event in batch.step():
                stream = streams[event.id]
                if stream.stopped:
                    continue
                texts[event.id] += stream.add(event.token, last=event.stop is not None)
                if stream.stopped and event.stop is None:
                    batch.leave(event.id)
                if stream.stopped or event.stop is not None:
                    yield event.id, texts[event.id]
