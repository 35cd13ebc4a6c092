"""Questions of lesson 2.12: soft prompts."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _numbers(dice: Random) -> dict[str, Any]:
    return {
        "vectors": dice.randrange(5, 101),
        "width": dice.randrange(512, 4097, 64),
        "vocabulary": dice.randrange(30_000, 150_000, 1000),
        "layers": dice.randrange(12, 49),
    }


def _cache(dice: Random) -> dict[str, Any]:
    return {
        "window": dice.choice((512, 1024, 2048, 4096)),
        "vectors": dice.randrange(10, 101),
        "answer_tokens": dice.randrange(20, 121),
        "shot": dice.randrange(60, 180),
    }


QUESTIONS = (
    Question(
        row="2.12",
        name="numbers",
        text="A model has a vocabulary of {vocabulary:,}, {layers} layers, and vectors of {width} numbers. A soft "
        "prompt of {vectors} vectors stands in front of its input. How many numbers train?",
        draw=_numbers,
        answer=lambda vectors, width: vectors * width,
        again=lambda vectors, width: sum(width for _ in range(vectors)),
        wrong={
            "You gave each layer a prompt. That is prefix tuning; a soft prompt stands in front of the first layer.": (
                lambda vectors, width, layers: vectors * width * layers
            ),
            "You counted the embedding table. It stays frozen.": lambda width, vocabulary: width * vocabulary,
            "You counted a vector as one number. Each has the model's width.": lambda vectors: vectors,
            "You let the model choose words. The vectors need not be words.": (
                lambda vectors, vocabulary: vectors * vocabulary
            ),
        },
        why="{vectors} vectors of {width} numbers: {answer:,}.",
        tolerance=0,
    ),
    Question(
        row="2.12",
        name="cache",
        text="A context window has {window} tokens. A prompt with one solved example takes {shot} tokens for it. "
        "A soft prompt of {vectors} vectors takes its place. The answer needs {answer_tokens} tokens in both cases. "
        "How many tokens of input fit beside the soft prompt?",
        draw=_cache,
        answer=lambda window, vectors, answer_tokens: window - vectors - answer_tokens,
        again=lambda window, vectors, answer_tokens: len(range(vectors + answer_tokens, window)),
        wrong={
            "You left the soft prompt out. Each of its vectors takes the place of a token.": (
                lambda window, answer_tokens: window - answer_tokens
            ),
            "You left the answer out. It stands in the window as well.": lambda window, vectors: window - vectors,
            "That is the room beside the solved example.": (
                lambda window, shot, answer_tokens: window - shot - answer_tokens
            ),
            "You took off both prompts. The soft prompt stands in the place of the example.": (
                lambda window, vectors, shot, answer_tokens: window - vectors - shot - answer_tokens
            ),
        },
        why="{window} - {vectors} - {answer_tokens} = {answer}.",
        tolerance=0,
    ),
    Choice(
        row="2.12",
        name="sentence",
        text="You print the nearest token of each vector of a soft prompt that works well. What do you get?",
        right="tokens that may make no sense, because the vectors are no tokens",
        wrong={
            "the instruction that the model follows": "Nothing made the vectors words. They are only near some.",
            "an error, because vectors have no nearest token": "Each has one. It may be far away all the same.",
            "the training examples": "A few vectors hold no examples. They hold what helps with all of them.",
        },
        why="Learning moves the vectors wherever the loss falls, and words are only a few points in that space.",
    ),
)

WRONG_SOLUTIONS = {
    "room_for_input": (
        WrongSolution(
            "def room_for_input(window, vectors, answer):\n    return window - answer",
            says="vectors and answer both take room",
        ),
        WrongSolution(
            "def room_for_input(window, vectors, answer):\n    return window - vectors - answer",
            says="never less than no room",
        ),
    )
}
