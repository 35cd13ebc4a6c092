"""Speculative decoding: while one answer is written alone, its next tokens are guessed and read in the same pass.

A single answer reads every weight of the model for each of its tokens, and the processor waits for memory: three tokens
take a fifth longer than one. So the token that was chosen is read together with two guesses (Leviathan et al. 2023,
"Fast Inference from Transformers via Speculative Decoding"). No second model makes them: they are what followed the
same few tokens earlier in the text (Saxena 2023, prompt lookup decoding), else in answers that are known (He et al.
2024, "REST"). Summaries repeat names and turns of phrase, so half of their tokens or more are guessed (docs/log.md).

A guess counts only if it is the token that is then chosen, by the settings and the dice of the request, from the logits
that stand before it. So the answer is the one that would have been written without guesses, sampled ones included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from luthier.decoding.ragged import RaggedDecoder

GUESSES = 2  # a product of three rows takes 1.2 times as long as one of a single row, of four rows 1.7 times
LONGEST = 3  # tokens that are looked up; a longer run is met again too rarely


class Followers:
    """Which token came last behind each run of one to LONGEST tokens."""

    def __init__(self, texts: Iterable[Sequence[int]] = ()) -> None:
        self._last: dict[tuple[int, ...], int] = {}
        for text in texts:
            self.learn(text)

    def learn(self, text: Sequence[int], start: int = 1) -> None:
        """Remembers text[start:], each token behind the runs that lead to it."""
        for end in range(start, len(text)):
            for length in range(1, min(LONGEST, end) + 1):
                self._last[tuple(text[end - length : end])] = text[end]

    def after(self, run: tuple[int, ...]) -> int | None:
        return self._last.get(run)


class SpeculativeDecoder:
    """A RaggedDecoder that guesses as soon as one row is left; the same `start`, `step` and `keep`.

    `limits` are the most new tokens of each row: nothing is guessed beyond them. `known` are other texts to guess from.
    """

    def __init__(
        self,
        decoder: RaggedDecoder,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        known: Followers | None = None,
    ) -> None:
        self.decoder = decoder
        self.texts = [list(prompt) for prompt in prompts]  # of each open row
        self.ends = [len(prompt) + limit for prompt, limit in zip(prompts, limits, strict=True)]
        self.own, self.learned = Followers(), 1  # of the one row that is left, and how much of it was looked at
        self.known = known or Followers()
        self.guesses: list[int] = []  # read already, and not chosen yet
        self.ahead: list[Tensor] = []  # logits (V,) behind each of them

    def start(self) -> Tensor:
        """Logits (B, V) behind each prompt."""
        return self.decoder.start()

    def step(self, tokens_B: Tensor) -> Tensor:
        """Logits (B, V) behind one more token of each row."""
        tokens = tokens_B.tolist()
        for text, token in zip(self.texts, tokens, strict=True):
            text.append(token)
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

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows alone."""
        self.texts, self.ends = [self.texts[row] for row in rows], [self.ends[row] for row in rows]
        self.decoder.keep(rows)

    def _guess(self) -> list[int]:
        """The tokens that may come next, none beyond the row's end."""
        (text,), (end,) = self.texts, self.ends
        self.own.learn(text, self.learned)
        self.learned = len(text)
        last, guesses = text[-LONGEST:], list[int]()
        while len(guesses) < min(GUESSES, end - len(text) - 1) and (token := self._after(last)) is not None:
            guesses.append(token)
            last = [*last, token][-LONGEST:]
        return guesses

    def _after(self, last: list[int]) -> int | None:
        """What followed the longest run of these last tokens that is in the row itself, or else in what is known."""
        for start in range(len(last)):
            for followers in (self.own, self.known):
                if (token := followers.after(tuple(last[start:]))) is not None:
                    return token
        return None
