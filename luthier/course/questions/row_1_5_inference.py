"""Questions of lesson 1.5: what inference costs."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _cache(dice: Random) -> dict[str, Any]:
    shared = dice.choice((2, 4, 8))
    kv_heads = dice.choice((2, 3, 4, 8))
    return {
        "layers": dice.randrange(12, 81),
        "kv_heads": kv_heads,
        "heads": shared * kv_heads,
        "width": dice.choice((64, 96, 128)),
        "tokens": dice.randrange(200, 8000, 10),
    }


def _writing(dice: Random) -> dict[str, Any]:
    return {
        "gigabytes": dice.randrange(5, 300) / 10,
        "rate": dice.randrange(40, 2000, 20),
        "prompt": dice.randrange(200, 3000, 10),
        "written": dice.randrange(50, 900, 10),
    }


QUESTIONS = (
    Question(
        row="1.5",
        name="cache",
        text="A model has {layers} layers. Each has {heads} heads of queries and {kv_heads} heads of keys and values, "
        "all of width {width}. Numbers take two bytes. How many MB (10^6 bytes) does the cache "
        "of {tokens:,} tokens take?",
        draw=_cache,
        answer=lambda layers, kv_heads, width, tokens: 4 * layers * kv_heads * width * tokens / 1e6,
        again=lambda layers, kv_heads, width, tokens: (
            sum(2 * 2 * kv_heads * width for _ in range(layers)) * tokens / 10**6
        ),
        wrong={
            "You counted the heads of queries. Only keys and values are kept.": (
                lambda layers, heads, width, tokens: 4 * layers * heads * width * tokens / 1e6
            ),
            "You counted keys alone. Values are kept too.": (
                lambda layers, kv_heads, width, tokens: 2 * layers * kv_heads * width * tokens / 1e6
            ),
            "You counted one layer. Each layer has keys and values of its own.": (
                lambda kv_heads, width, tokens: 4 * kv_heads * width * tokens / 1e6
            ),
            "You counted one head. Each head of keys and values keeps its own.": (
                lambda layers, width, tokens: 4 * layers * width * tokens / 1e6
            ),
        },
        why="{layers} layers x 2 x {kv_heads} heads x {width} x 2 bytes x {tokens:,} tokens: {answer:.4g} MB.",
        unit="MB",
    ),
    Question(
        row="1.5",
        name="seconds",
        text="The weights of a model take {gigabytes} GB. The memory gives {rate:,} GB a second. A prompt of "
        "{prompt:,} tokens has been read. How many seconds does it take at least to write {written} tokens, each "
        "in a pass of its own that needs all weights?",
        draw=_writing,
        answer=lambda gigabytes, rate, written: written * gigabytes / rate,
        again=lambda gigabytes, rate, written: sum([gigabytes / rate] * written),
        wrong={
            "You counted a pass for each token of the prompt too. The prompt is read in one pass.": (
                lambda gigabytes, rate, prompt, written: (prompt + written) * gigabytes / rate
            ),
            "You let the weights come once. They come from memory again for each new token.": (
                lambda gigabytes, rate: gigabytes / rate
            ),
            "You divided the wrong way round.": lambda gigabytes, rate, written: written * rate / gigabytes,
        },
        why="{written} passes of {gigabytes} GB at {rate:,} GB a second: {answer:.3g} seconds.",
        unit="seconds",
    ),
    Choice(
        row="1.5",
        name="cost",
        text="Why does a written token take more time than a token of the prompt?",
        right="its pass brings all weights from memory for one token alone",
        wrong={
            "the model has to think longer about it": "Each token goes through the same layers.",
            "the words of an answer are longer": "They come from the same vocabulary.",
            "the cache is searched for it": "The cache saves work. Without it each token would cost more.",
        },
        why="A prompt shares one pass among its tokens. A written token has a pass of its own.",
    ),
)

WRONG_SOLUTIONS = {
    "positions_read": (
        WrongSolution(
            "def positions_read(prompt, new, cached):\n    return prompt + new - 1 if cached else prompt * new",
            says="the text grows",
        ),
        WrongSolution(
            "def positions_read(prompt, new, cached):\n"
            "    return prompt + new if cached else sum(prompt + at for at in range(new))",
            says="written and not read",
        ),
        WrongSolution(
            "def positions_read(prompt, new, cached):\n    return prompt + new - 1",
            says="the text grows",
        ),
    )
}
