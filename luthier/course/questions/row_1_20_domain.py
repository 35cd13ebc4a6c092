"""Questions of lesson 1.20: reading more text, and units of loss."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _text(dice: Random) -> dict[str, Any]:
    tokens = dice.randrange(200, 5000)
    return {"tokens": tokens, "bytes": round(tokens * dice.uniform(2.5, 6)), "loss": dice.randrange(120, 420) / 100}


def _cost(dice: Random) -> dict[str, Any]:
    return {"bits": dice.randrange(60, 240) / 100, "length": dice.randrange(20, 55) / 10}


QUESTIONS = (
    Question(
        row="1.20",
        name="bits",
        text="A model reads a text of {bytes:,} bytes as {tokens:,} tokens. Its mean loss is {loss} nats a token. How "
        "many bits a byte is that?",
        draw=_text,
        answer=lambda tokens, bytes, loss: loss * tokens / bytes / math.log(2),
        again=lambda tokens, bytes, loss: math.log2(math.exp(loss)) / (bytes / tokens),
        wrong={
            "You left it in nats. Divide by ln 2 for bits.": lambda tokens, bytes, loss: loss * tokens / bytes,
            "These are bits a token. A token has several bytes.": lambda loss: loss / math.log(2),
            "You divided by the tokens in place of the bytes, the wrong way round.": (
                lambda tokens, bytes, loss: loss * bytes / tokens / math.log(2)
            ),
            "You multiplied by ln 2. A nat is more than a bit, so there are more bits than nats.": (
                lambda tokens, bytes, loss: loss * tokens / bytes * math.log(2)
            ),
        },
        why="All tokens together cost {loss} x {tokens:,} nats. Divided by ln 2 and by {bytes:,} bytes: {answer:.4g}.",
        unit="bits",
    ),
    Question(
        row="1.20",
        name="perplexity",
        text="A model needs {bits} bits a byte. Its tokens have {length} bytes on average. What is its "
        "perplexity a token?",
        draw=_cost,
        answer=lambda bits, length: 2 ** (bits * length),
        again=lambda bits, length: math.exp(bits * length * math.log(2)),
        wrong={
            "That is the perplexity a byte. A token has more bytes, so it is less sure.": lambda bits: 2**bits,
            "Bits add up over the bytes of a token. Only then comes the power of two.": (
                lambda bits, length: 2**bits * length
            ),
            "You took e to the power of bits. Bits belong to two, nats to e.": (
                lambda bits, length: math.exp(bits * length)
            ),
            "You divided by the length of a token. A longer token costs more.": lambda bits, length: (
                2 ** (bits / length)
            ),
        },
        why="A token costs {bits} x {length} bits, and two to that power is {answer:.4g}.",
    ),
    Choice(
        row="1.20",
        name="compare",
        text="Model A has a perplexity of 12 and model B one of 18, on the same text. Their tokenizers differ. Which "
        "one foresees the text better?",
        right="nobody can say without the number of tokens that each of them makes of the text",
        wrong={
            "A, since its perplexity is lower": "If its tokens are short, it is asked more often, and each time about "
            "less.",
            "B, since its tokens are longer": "We do not know that they are, nor by how much.",
            "both, since the text is the same": "The text is the same, and the models may still differ.",
        },
        why="Turn both into bits a byte: loss x tokens / bytes / ln 2.",
    ),
)

WRONG_SOLUTIONS = {
    "bits_a_byte": (
        WrongSolution(
            "def bits_a_byte(loss, tokens, text_bytes):\n    return loss / math.log(2)",
            says="share the sum over all tokens",
        ),
        WrongSolution(
            "def bits_a_byte(loss, tokens, text_bytes):\n    return loss * tokens / text_bytes",
            says="ln 2 nats are one bit",
        ),
        WrongSolution(
            "def bits_a_byte(loss, tokens, text_bytes):\n    return loss / math.log(2) * text_bytes / tokens",
            says="share the sum over all tokens",
        ),
    )
}
