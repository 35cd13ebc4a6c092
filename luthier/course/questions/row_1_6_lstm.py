"""Questions of lesson 1.6: what an LSTM keeps, and in which order it reads."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _gate(dice: Random) -> dict[str, Any]:
    return {"gate": dice.randrange(900, 996) / 1000, "tokens": dice.randrange(5, 120)}


def _times(dice: Random) -> dict[str, Any]:
    return {
        "tokens": dice.randrange(100, 2000, 10),
        "layers": dice.randrange(2, 33),
        "step": dice.randrange(2, 20) / 100,
        "layer": dice.randrange(20, 200) / 100,
    }


QUESTIONS = (
    Question(
        row="1.6",
        name="kept",
        text="The forget gate of a cell is {gate} at each token. Nothing new comes in. Which share of a value is left "
        "after {tokens} tokens?",
        draw=_gate,
        answer=lambda gate, tokens: 100 * gate**tokens,
        again=lambda gate, tokens: 100 * math.exp(tokens * math.log(gate)),
        wrong={
            "You forgot once. The gate multiplies the cell again at each token.": lambda gate: 100 * gate,
            "You took the loss of one token times the tokens. The gate multiplies what is left each time.": (
                lambda gate, tokens: 100 * (1 - tokens * (1 - gate))
            ),
            "You gave the share that is lost.": lambda gate, tokens: 100 * (1 - gate**tokens),
        },
        why="{gate} to the power of {tokens}: {answer:.3g} %.",
        unit="%",
    ),
    Question(
        row="1.6",
        name="steps",
        text="A text has {tokens:,} tokens. An LSTM of one layer takes {step} ms for each token. A transformer has "
        "{layers} layers, and a layer takes {layer} ms for all tokens together. How many times as long does the LSTM "
        "take to read the text?",
        draw=_times,
        answer=lambda tokens, layers, step, layer: tokens * step / (layers * layer),
        again=lambda tokens, layers, step, layer: sum([step] * tokens) / sum([layer] * layers),
        wrong={
            "You counted one layer. The layers of a transformer come one after the other.": (
                lambda tokens, step, layer: tokens * step / layer
            ),
            "You let the LSTM read all tokens at once. Each of its steps needs the one before.": (
                lambda layers, step, layer: step / (layers * layer)
            ),
            "You divided the wrong way round.": (lambda tokens, layers, step, layer: layers * layer / (tokens * step)),
        },
        why="{tokens:,} steps of {step} ms, divided by {layers} layers of {layer} ms: {answer:.3g}.",
    ),
    Choice(
        row="1.6",
        name="why",
        text="An LSTM loses the beginning of a long text. What is the reason?",
        right="all that it read has to fit into one vector of fixed size",
        wrong={
            "it is too small": "A larger one lost the letters too, with more parameters than the transformer had.",
            "it cannot see the beginning": "It reads every token. It does not keep every token.",
            "it has not seen enough languages": "It failed at random letters, which belong to no language.",
        },
        why="A transformer keeps something of each token and can look back at it.",
    ),
)

WRONG_SOLUTIONS = {
    "cell_after": (
        WrongSolution(
            "def cell_after(steps):\n"
            "    cell = 0.0\n"
            "    for forget, enter, new in steps:\n"
            "        cell = forget * cell + (1 - forget) * new\n"
            "    return cell",
            says="they need not sum to 1",
        ),
        WrongSolution(
            "def cell_after(steps):\n"
            "    cell = 0.0\n"
            "    for forget, enter, new in steps:\n"
            "        cell = forget * (cell + enter * new)\n"
            "    return cell",
            says="how much of the new value",
        ),
    )
}
