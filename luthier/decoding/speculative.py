"""Speculative decoding: while one answer is written alone, its next tokens are guessed and read in the same pass.

A single answer reads every weight of the model for each of its tokens, and memory bandwidth limits it. So a pass over
three tokens takes little longer than a pass over one (docs/log.md). The decoder reads the chosen token together with
two guesses (Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding"). No second model makes
the guesses. An n-gram table gives them: what followed the same few tokens earlier in the text (Saxena 2023, prompt
lookup decoding), or else in earlier answers (He et al. 2024, "REST").

A guess counts only if the request's settings and random numbers then choose the same token from the logits before it.
So the answer, sampled or greedy, is the same as without guesses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from luthier.decoding.ragged import RaggedDecoder

GUESSES = 2  # three rows take little longer than one in a product of weights, four take much longer (docs/log.md)
MOST_CONTEXT = 3  # tokens of the longest n-gram; longer ones recur too rarely


class NgramTable:
    """The latest token that followed each n-gram of one to MOST_CONTEXT tokens."""

    def __init__(self, texts: Iterable[Sequence[int]] = ()) -> None:
        self._last: dict[tuple[int, ...], int] = {}
        for text in texts:
            self.add(text)

    def add(self, text: Sequence[int], start: int = 1) -> None:
        """Adds text[start:], each token under the n-grams that end before it."""
        for end in range(start, len(text)):
            for length in range(1, min(MOST_CONTEXT, end) + 1):
                self._last[tuple(text[end - length : end])] = text[end]

    def next_token(self, ngram: tuple[int, ...]) -> int | None:
        return self._last.get(ngram)


class SpeculativeDecoder:
    """A RaggedDecoder that guesses as soon as one row is left. It has the same `start`, `step` and `keep`.

    `limits` are the most new tokens of each row; no guess goes beyond them. `other_answers` are n-grams of earlier
    texts.
    """

    def __init__(
        self,
        decoder: RaggedDecoder,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        other_answers: NgramTable | None = None,
    ) -> None:
        self.decoder = decoder
        self.texts = [list(prompt) for prompt in prompts]  # prompt and answer so far of each open row
        self.ends = [len(prompt) + limit for prompt, limit in zip(prompts, limits, strict=True)]
        self.own_ngrams, self.added_tokens = NgramTable(), 1  # of the last open row, and how much of it is added
        self.other_answers = other_answers or NgramTable()
        self.guesses: list[int] = []  # tokens that were read and not chosen yet
        self.ahead: list[Tensor] = []  # logits (V,) behind each of them
        self.coming: list[tuple[list[int], int]] = []  # text and end of each row that joined and is not read yet

    def start(self) -> Tensor:
        """Logits (B, V) behind each prompt."""
        return self.decoder.start()

    def step(self, tokens_B: Tensor) -> Tensor:
        """Logits (B, V) behind one more token of each row."""
        tokens = self._written(tokens_B)
        if len(tokens) > 1:
            return self.decoder.step(tokens_B)
        if self.guesses and self.guesses[0] == tokens[0]:
            self.guesses.pop(0)
            return self.ahead.pop(0)[None]
        self.decoder.take_back(len(self.guesses))
        self.guesses = self._guess()
        logits_TV = self.decoder.read_on([*tokens, *self.guesses])
        self.ahead = list(logits_TV[1:])
        return logits_TV[:1]

    def keep(self, rows: Tensor) -> list[int]:
        """Keeps these rows and forgets the others. Returns which row stands at each place now."""
        if not len(rows):
            self.guesses, self.ahead = [], []
        order = self.decoder.keep(rows)
        self.texts, self.ends = [self.texts[row] for row in order], [self.ends[row] for row in order]
        return order

    def rearrange(self, rows: Tensor, columns: int | None = None) -> None:
        """As RaggedDecoder's, before anything is guessed."""
        self.decoder.rearrange(rows, columns)
        self.texts, self.ends = [list(self.texts[row]) for row in rows], [self.ends[row] for row in rows]

    def join(self, prompt: Sequence[int], limit: int) -> None:
        """One more row, which `step_and_read` reads."""
        self.decoder.join(prompt)
        self.coming.append((list(prompt), len(prompt) + limit))

    def step_and_read(self, tokens_B: Tensor, most: int) -> tuple[Tensor, list[int], Tensor]:
        """As RaggedDecoder's."""
        decoder = self._without_guesses()
        self._written(tokens_B)
        logits_BV, places, logits_RV = decoder.step_and_read(tokens_B, most)
        for place in places:
            text, end = self.coming.pop(0)
            self.texts.insert(place, text)
            self.ends.insert(place, end)
            self.own_ngrams, self.added_tokens = NgramTable(), 1  # another row may be the last
        return logits_BV, places, logits_RV

    def _written(self, tokens_B: Tensor) -> list[int]:
        """These tokens, one more of each row's text."""
        tokens: list[int] = tokens_B.tolist()
        for text, token in zip(self.texts, tokens, strict=True):
            text.append(token)
        return tokens

    def _without_guesses(self) -> RaggedDecoder:
        """The decoder, in which no guess stands behind the only row any more."""
        if self.guesses:
            self.decoder.take_back(len(self.guesses))
            self.guesses, self.ahead = [], []
        return self.decoder

    def forget(self, arrival: int) -> None:
        """As RaggedDecoder's."""
        self.decoder.forget(arrival)
        del self.coming[arrival]

    def _guess(self) -> list[int]:
        """The tokens that may come next, up to the row's limit."""
        (text,), (end,) = self.texts, self.ends
        self.own_ngrams.add(text, self.added_tokens)
        self.added_tokens = len(text)
        context, guesses = text[-MOST_CONTEXT:], list[int]()
        while len(guesses) < min(GUESSES, end - len(text) - 1) and (token := self._next_token(context)) is not None:
            guesses.append(token)
            context = [*context, token][-MOST_CONTEXT:]
        return guesses

    def _next_token(self, context: list[int]) -> int | None:
        """What followed the longest n-gram that ends these tokens, in the row itself or else in earlier answers."""
        for start in range(len(context)):
            for table in (self.own_ngrams, self.other_answers):
                if (token := table.next_token(tuple(context[start:]))) is not None:
                    return token
        return None
