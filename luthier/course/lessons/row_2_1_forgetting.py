# %% [markdown]
# # 2.1 Catastrophic forgetting
#
# A model that is trained on a new task can lose an old one. It gives no warning, since the loss of the new task falls
# as it should. In this lesson you make a tiny model forget, and you keep it from forgetting with a few old rows.

# %% [markdown]
# ## Predict
#
# A model has everything right on task A. Then it is trained on task B alone, until it has everything right there. What
# share does it have right on A afterwards? And what share, if 5 % of the rows of the second training come from A?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_alone = None  # @param {type:"number"}
my_guess_replay = None  # @param {type:"number"}
predict("2.1/alone", my_guess_alone)
predict("2.1/replay", my_guess_replay)

# %% [markdown]
# ## Run: A, then B
#
# A text is a sign for the task and six letters. Under the sign of A each letter moves by one place of the alphabet.
# Under the sign of B it moves by four. So the model could do both, if it looked at the sign. The trainings take some
# seconds.

# %%
import copy
import random

import torch

from luthier.scratch.drawn import moved_letters, share_right, train_drawn
from luthier.scratch.objectives import Row
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

LETTERS, SIGN_A, SIGN_B = 10, 10, 11


def task_a(dice: random.Random) -> Row:
    """Letters move by one."""
    return moved_letters(dice, SIGN_A, 1)


def task_b(dice: random.Random) -> Row:
    """Letters move by four."""
    return moved_letters(dice, SIGN_B, 4)


torch.manual_seed(0)
shape = Shape(vocabulary=12, family="encoder", width=32, layers=2, heads=2, positions="learned", window=8)
knows_a = Transformer(shape)
train_drawn(knows_a, task_a, steps=200)


def then_b(replay: float, steps: int = 300) -> tuple[Transformer, list[float]]:
    """The model that knows A, trained on B with a share of rows of A; and the losses of that training."""
    model = copy.deepcopy(knows_a)
    losses = train_drawn(model, lambda dice: task_a(dice) if dice.random() < replay else task_b(dice), steps=steps)
    return model, losses


alone, losses = then_b(0.0)
before = (share_right(knows_a, task_a), share_right(knows_a, task_b))
after = (share_right(alone, task_a), share_right(alone, task_b))
show(Table(("model", "A right", "B right"), [
    ("after A", f"{before[0]:.2f}", f"{before[1]:.2f}"),
    ("after A, then B", f"{after[0]:.2f}", f"{after[1]:.2f}"),
]))  # fmt: skip
print(f"loss of the second training: {losses[0]:.2f} at its beginning, {losses[-1]:.2f} at its end")

# %% [markdown]
# A was perfect, and now it is lost. The loss of the second training never said a word about it. It was measured on rows
# of B alone.

# %% tags=["claim"]
# A from above 0.95 to below 0.3; B above 0.95; the loss fell.
assert before[0] > 0.95 and after[0] < 0.3
assert after[1] > 0.95 and losses[-1] < losses[0] / 5

# %% [markdown]
# ## Why it forgets
#
# Ask the model for A's texts, and see what it answers. It does not answer nonsense. It does B.

# %%
dice = random.Random(5)
example = task_a(dice)
with torch.no_grad():
    said = alone.eval()(torch.tensor([example.ids])).argmax(-1)[0, 1:].tolist()
letters = list(example.ids[1:])
show(Table(("what", *["letter"] * 6), [
    ("read under the sign of A", *letters),
    ("A would say", *[(one + 1) % LETTERS for one in letters]),
    ("B would say", *[(one + 4) % LETTERS for one in letters]),
    ("the model says", *said),
]))  # fmt: skip
does_b = share_right(alone, lambda dice: moved_letters(dice, SIGN_A, 4))
print(f"under the sign of A it does B in {does_b:.0%} of the letters")

# %% [markdown]
# In the second training the sign never changed. So looking at it was never needed. The cheapest way to do B was to
# overwrite A.

# %% tags=["claim"]
assert does_b > 0.7

# %% [markdown]
# ## Turn a dial: replay
#
# Replay mixes old rows into the new training. Turn the dial and run both cells.

# %% tags=["dials"]
replay = 0.05  # @param {type:"slider", min:0, max:0.5, step:0.01}

# %%
mixed, _ = then_b(replay)
with_replay = (share_right(mixed, task_a), share_right(mixed, task_b))
show(bars(f"Right after the second training, {replay:.0%} old rows", [
    ("A, without replay", after[0]), ("A, with replay", with_replay[0]),
    ("B, without replay", after[1]), ("B, with replay", with_replay[1]),
]))  # fmt: skip

# %% [markdown]
# One row in twenty is enough here. It costs B nearly nothing. The old rows force the model to look at the sign.

# %% tags=["claim"]
# With 5 % old rows A stays above 0.9, and B is above 0.9 as well.
kept, _ = then_b(0.05)
assert share_right(kept, task_a) > 0.9 and share_right(kept, task_b) > 0.9

# %% [markdown]
# ## How sure is a loss of points?
#
# A test of an old task is a sample too. Before and after the training the model gets the same rows, so the difference
# is paired. Few rows leave a wide interval.

# %%
from luthier.stats.intervals import paired_shares

answers = random.Random(3)
was = [float(answers.random() < 0.80) for _ in range(400)]
now = [one * float(answers.random() < 0.93) for one in was]
for rows in (40, 100, 400):
    lost = paired_shares(was[:rows], now[:rows])
    low, high = lost.interval(0.95)
    print(f"{rows} rows: {100 * lost.value:.1f} points lost, interval {100 * low:.1f} to {100 * high:.1f}")

# %% tags=["claim"]
# Ten times as many rows make the interval more than twice as short.
short, long = (paired_shares(was[:rows], now[:rows]).interval(0.95) for rows in (400, 40))
assert 2 * (short.high - short.low) < long.high - long.low

# %% [markdown]
# ## Fill a hole
#
# Write how much was lost. `before` and `after` map a task to its share, from zero to one. Return the tasks that lost
# more than `allowed` points, the largest loss first. A task that was not measured afterwards counts as lost.


# %% tags=["hole"]
def forgotten(before: dict[str, float], after: dict[str, float], allowed: float) -> list[str]:
    """The tasks that lost more than `allowed` percentage points, the largest loss first."""
    ### BEGIN SOLUTION
    lost = {task: 100 * (share - after.get(task, 0.0)) for task, share in before.items()}
    return sorted((task for task in lost if lost[task] > allowed + 1e-9), key=lambda task: -lost[task])
    ### END SOLUTION


# %% tags=["test"]
assert forgotten({"a": 0.9, "b": 0.8}, {"a": 0.5, "b": 0.79}, 2) == ["a"], (
    "forgotten: shares are from zero to one, and what is allowed is in points"
)
### BEGIN HIDDEN TESTS
assert forgotten({"a": 0.9, "b": 0.9}, {"a": 0.8, "b": 0.3}, 2) == ["b", "a"], "forgotten: the largest loss comes first"
assert forgotten({"a": 0.5}, {"a": 0.9}, 2) == [], "forgotten: a task that gained has lost nothing"
assert forgotten({"a": 0.5, "b": 0.4}, {"a": 0.5}, 2) == ["b"], "forgotten: a task that nobody measured counts as lost"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.1/points", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.1/replay-rows", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.1/loss", my_choice)

# %% [markdown]
# ## What this does not show
#
# Our two tasks fight for the same letters, so the model forgets all of A. A large model forgets less, and more slowly.
# LoRA forgets less as well, since it changes less [Biderman and others 2024]. How much your model loses on what you
# need has to be measured, before and after.
