# %% [markdown]
# # 1.6 Before transformers: LSTMs
#
# An LSTM reads a text token by token and keeps what it has read in one vector of fixed size. For years this was the way
# to write text. In this lesson you see where it fails, and whether more parameters help.

# %% [markdown]
# ## Predict
#
# Two tiny models learn to copy. They read random letters and then have to say them again. The LSTM has 34,304
# parameters and the transformer 27,808. A text has 16 letters. Which share of them does each model get right? There are
# 16 different letters, so a guess would be right in one of 16 cases.

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Picture, Table, bars, show

my_guess_lstm = None  # @param {type:"number"}
my_guess_transformer = None  # @param {type:"number"}
predict("1.6/share-lstm", my_guess_lstm)
predict("1.6/share-transformer", my_guess_transformer)

# %% [markdown]
# ## Run: copy four letters, copy sixteen
#
# Each model is trained twice, once for each length. That takes some seconds each.

# %%
import random

import torch

from luthier.scratch.drawn import share_right, train_drawn
from luthier.scratch.generated import copying
from luthier.scratch.lstm import LSTM, LSTMState
from luthier.scratch.objectives import IGNORE, Row
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Cache, Transformer

LETTERS = 16


def copy_of(length: int):
    """Draws rows of random letters, a border, and the letters again, which are to be known."""

    def draw(dice: random.Random) -> Row:
        ids, known = copying(LETTERS, length, dice)
        targets = [IGNORE] * len(ids)
        for place in known:
            targets[place - 1] = ids[place]
        return Row(tuple(ids), (0,) * len(ids), tuple(targets))

    return draw


def transformer() -> Transformer:
    torch.manual_seed(0)
    shape = Shape(vocabulary=LETTERS, width=32, layers=2, heads=4, positions="learned", window=64)
    return Transformer(shape)


def lstm(width: int = 64) -> LSTM:
    torch.manual_seed(0)
    return LSTM(LETTERS, width, 1)


def size(model: torch.nn.Module) -> int:
    return sum(one.numel() for one in model.parameters())


def learned(model: torch.nn.Module, length: int, steps: int = 300) -> float:
    """The share of letters that a trained model copies right."""
    train_drawn(model, copy_of(length), steps=steps, rows=16, learning_rate=4e-3)
    return share_right(model, copy_of(length))


right = {
    "LSTM, 4 letters": learned(lstm(), 4),
    "LSTM, 16 letters": learned(lstm(), 16),
    "transformer, 4 letters": learned(transformer(), 4),
    "transformer, 16 letters": learned(transformer(), 16),
}
show(bars("Share of letters that are right", right.items()))

# %% tags=["claim"]
# 34,304 and 27,808 parameters. The transformer copies 4 and 16 letters; the LSTM loses most of 16.
assert (size(lstm()), size(transformer())) == (34_304, 27_808)
assert min(right["transformer, 4 letters"], right["transformer, 16 letters"]) > 0.95
assert right["LSTM, 16 letters"] < 0.5
assert right["LSTM, 4 letters"] > right["LSTM, 16 letters"] + 0.15

# %% [markdown]
# ## Turn a dial: a larger LSTM
#
# Perhaps the LSTM was only too small. Give it more width. At 128 it has nearly five times as many parameters as the
# transformer.

# %% tags=["dials"]
width = 128  # @param {type:"slider", min:32, max:256, step:32}
letters = 16  # @param {type:"slider", min:2, max:24, step:2}

# %%
wide = learned(lstm(width), letters)
print(f"an LSTM with {size(lstm(width)):,} parameters copies {wide:.2f} of {letters} letters")

# %% [markdown]
# It is hardly better after the same number of steps. The reason is not its size. It is the way in which an LSTM
# remembers.

# %% tags=["claim"]
# At a width of 128: more than four times the parameters, and still less than half of 16 letters right.
assert size(lstm(128)) > 4 * size(transformer())
assert (width, letters) != (128, 16) or wide < 0.5

# %% [markdown]
# ## What each of them keeps
#
# Both have read a text. What do they hold of it? We count the numbers.


# %%
def numbers_kept(tokens: int) -> tuple[int, int]:
    """Numbers that the LSTM and the transformer hold behind so many tokens."""
    ids, state, cache = torch.zeros(1, tokens, dtype=torch.long), LSTMState(), Cache()
    with torch.no_grad():
        lstm()(ids, cache=state)
        transformer()(ids, cache=cache)
    pairs = [state.states, *cache.layers.values()]
    counts = [sum(part.numel() for part in pair) for pair in pairs]
    return counts[0], sum(counts[1:])


rows = [(tokens, *numbers_kept(tokens)) for tokens in (1, 8, 32, 64)]
show(Table(("tokens read", "LSTM", "transformer"), rows))


def curve(values: list[int], color: str, most: int) -> str:
    points = " ".join(f"{10 + 85 * at},{110 - 100 * value / most:.0f}" for at, value in enumerate(values))
    return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="3"/>'


most = rows[-1][2]
svg = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 120" width="300" font-size="13" fill="currentColor">'
    f"{curve([row[1] for row in rows], '#D55E00', most)}{curve([row[2] for row in rows], '#0072B2', most)}"
    '<text x="90" y="52">transformer</text><text x="220" y="100">LSTM</text></svg>'
)
show(Picture(svg, "Numbers kept of 1, 8, 32 and 64 tokens: the LSTM's line stays flat, and the transformer's rises."))

# %% [markdown]
# The LSTM keeps 128 numbers, whether it has read one token or a book. The transformer keeps 128 numbers of each token,
# and looks back at all of them. That is its strength and its price. Lesson 1.5 counts the price.

# %% tags=["claim"]
# 128 numbers of an LSTM at any length; 128 numbers a token of the transformer.
assert numbers_kept(1) == (128, 128)
assert numbers_kept(64) == (128, 64 * 128)

# %% [markdown]
# ## One after the other
#
# There is a second reason. The LSTM's state behind a token needs the state before it. So its steps come one after the
# other, and a training cannot read all tokens at once. A transformer's layer reads all of them together. Its steps are
# its layers.

# %% [markdown]
# ## Fill a hole
#
# Write the memory of an LSTM. Its cell is a number here. At each token a forget gate, an input gate and a new value are
# given. The cell becomes the old cell times the forget gate, plus the new value times the input gate. It begins at
# zero. Return the cell behind the last token.


# %% tags=["hole"]
def cell_after(steps: list[tuple[float, float, float]]) -> float:
    """The cell behind steps of (forget gate, input gate, new value)."""
    ### BEGIN SOLUTION
    cell = 0.0
    for forget, enter, new in steps:
        cell = forget * cell + enter * new
    return cell
    ### END SOLUTION


# %% tags=["test"]
assert cell_after([(0.5, 0.5, 1.0)]) == 0.5, "cell_after: the input gate says how much of the new value comes in"
assert cell_after([(0.0, 1.0, 8.0), (0.5, 0.5, 2.0)]) == 5.0, "cell_after: the forget gate keeps a part of the old cell"
### BEGIN HIDDEN TESTS
assert cell_after([(1.0, 1.0, 3.0), (1.0, 1.0, 4.0)]) == 7.0, (
    "cell_after: both gates can be open at once; they need not sum to 1"
)
assert cell_after([]) == 0.0, "cell_after: before the first token the cell is zero"
### END HIDDEN TESTS

# %% tags=["claim"]
# With a forget gate of 0.9 less than one hundredth of a value is left after 50 tokens.
assert cell_after([(1.0, 1.0, 1.0), *[(0.9, 0.0, 0.0)] * 50]) < 0.01

# %% [markdown]
# A gate of 0.9 sounds like a good memory. After 50 tokens less than a hundredth is left.

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.6/kept", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.6/steps", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.6/why", my_choice)

# %% [markdown]
# ## What this does not show
#
# Copying is the hardest case for a memory of fixed size. Much of language needs less. With far more steps the LSTM
# would copy more letters than here. There are also newer models with a fixed state, and they forget in better ways.
# This lesson compares two small models on one ability.
