# %% [markdown]
# # Lab 2.2b Full fine-tuning
#
# A training is a number of steps, and each step reads a batch of rows. Here you find a notebook's mistake: it
# trains for a single step, and then judges the model. You count what a step reads, and see what steps are needed.

# %% [markdown]
# ## Predict
#
# A training set has 125 rows, and a batch has eight. The settings say: one epoch, and at most one step. How many of the
# rows has the model read when the training ends?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"integer"}
predict("lab2.2b/rows", my_guess)
ROWS, BATCH = 125, 8

# %% [markdown]
# ## Run: one step
#
# The model is tiny, and its task is to move letters by three places. The training set has 125 rows. An epoch reads each
# row once. A limit of steps wins over the number of epochs, and nothing warns.

# %%
import math
import random

import torch

from luthier.scratch.drawn import moved_letters, share_right, train_drawn
from luthier.scratch.objectives import Row
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

SIGN = 10


def new_row(dice: random.Random) -> Row:
    """A sign and six letters; each letter has the one three places further as its target."""
    return moved_letters(dice, SIGN, 3)


dice = random.Random(0)
training_set = [new_row(dice) for _ in range(ROWS)]


class Epochs:
    """Hands out the rows of the training set, each once in a random order, then all of them again."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows, self.left, self.read = rows, [], []

    def __call__(self, dice: random.Random) -> Row:
        if not self.left:
            self.left = dice.sample(range(len(self.rows)), len(self.rows))
        place = self.left.pop()
        self.read.append(place)
        return self.rows[place]


def trained(steps: int, batch: int = BATCH) -> tuple[Transformer, Epochs, list[float]]:
    """A new model after so many steps, what it read, and its losses."""
    torch.manual_seed(0)
    shape = Shape(vocabulary=11, family="encoder", width=32, layers=2, heads=2, positions="learned", window=8)
    model, rows = Transformer(shape), Epochs(training_set)
    losses = train_drawn(model, rows, steps=steps, rows=batch)
    return model, rows, losses


one_step, read, losses = trained(1)
after_one = share_right(one_step, new_row)
print(f"one step read {len(set(read.read))} of {ROWS} rows; right on new rows: {after_one:.2f}")

# %% [markdown]
# The step read eight of 125 rows. The other 117 were never seen. What the notebook compares afterwards is nearly the
# model that it began with.

# %% tags=["claim"]
# One step reads 8 of 125 rows, so 117 were not seen. The share right stays below 0.5.
assert len(set(read.read)) == BATCH == 8 and ROWS == 125 and ROWS - BATCH == 117
assert after_one < 0.5

# %% [markdown]
# ## Turn a dial: epochs

# %% tags=["dials"]
epochs = 2  # @param {type:"slider", min:1, max:20, step:1}
batch = 8  # @param {type:"slider", min:1, max:64, step:1}

# %%
steps = math.ceil(ROWS / batch) * epochs
model, read, losses = trained(steps, batch)
print(f"{epochs} epochs are {steps} steps of {batch} rows; {len(set(read.read))} rows were read")
print(f"loss {losses[0]:.2f} at the beginning, {losses[-1]:.2f} at the end; right {share_right(model, new_row):.2f}")

# %%
curve = {steps: share_right(trained(steps)[0], new_row) for steps in (1, 16, 32, 160)}
show(bars("Right on new rows", [(f"{steps} steps", share) for steps, share in curve.items()]))

# %% [markdown]
# An epoch of 125 rows in batches of eight has 16 steps: fifteen full ones, and one for the last five rows. luthier's
# own training leaves that batch small. Here three rows of the next epoch fill it up. So 16 steps read 128 rows, and 160
# steps are a little more than ten epochs.

# %% tags=["claim"]
# 16 steps make an epoch of 125 rows. After 160 steps more than 0.9 is right; after one, far less.
assert math.ceil(125 / 8) == 16
# They read 128 rows: each of the 125 once, and three of the next epoch.
_, read_16, _ = trained(16)
assert len(read_16.read) == 128 == 125 + 3 and len(set(read_16.read[:125])) == 125
assert curve[160] > 0.9 and curve[160] > curve[1] + 0.4

# %% [markdown]
# ## Two ways to judge a training
#
# The loss of the first step is measured before the model has moved. So with one step there is one loss, and it says
# nothing about the training. Only a second look shows whether anything was learned.

# %%
show(Table(("training", "first loss", "last loss"), [
    (f"{steps} steps", f"{own[0]:.2f}", f"{own[-1]:.2f}") for steps, own in ((1, trained(1)[2]), (160, trained(160)[2]))
]))  # fmt: skip

# %% tags=["claim"]
# With one step the first loss is the last one.
assert len(trained(1)[2]) == 1

# %% [markdown]
# ## Fill a hole
#
# Write the count of steps. Each epoch reads all rows once, in batches; the last batch of an epoch may be smaller. A
# limit of steps, if there is one, wins. Return the steps and how many different rows were read.


# %% tags=["hole"]
def steps_and_rows(rows: int, batch: int, epochs: int, most: int | None = None) -> tuple[int, int]:
    """(steps of the training, different rows that it reads)."""
    ### BEGIN SOLUTION
    steps = -(-rows // batch) * epochs
    if most is not None:
        steps = min(steps, most)
    return steps, min(rows, steps * batch)
    ### END SOLUTION


# %% tags=["test"]
assert steps_and_rows(120, 8, 2) == (30, 120), "steps_and_rows: each epoch reads all rows once"
assert steps_and_rows(120, 8, 2, 1) == (1, 8), "steps_and_rows: a limit of steps wins over the epochs"
### BEGIN HIDDEN TESTS
assert steps_and_rows(125, 8, 2) == (32, 125), "steps_and_rows: the last batch of each epoch is a step too"
assert steps_and_rows(16, 8, 1, 100) == (2, 16), "steps_and_rows: a limit that is not reached changes nothing"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.2b/epochs", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab2.2b/unseen", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.2b/one-step", my_choice)

# %% [markdown]
# ## What this does not show
#
# How many epochs are enough depends on the task, the model and the rate. Dev shows it: luthier keeps the step that was
# best there. A full fine-tuning of a real model takes minutes. The study at the end of this lab has one.
