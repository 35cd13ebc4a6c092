# %% [markdown]
# # 2.10 Selective PEFT
#
# Selective fine-tuning adds nothing to a model. Some of its own parameters learn, and all others are frozen. In this
# lesson you choose which ones, count them, and find out that the count alone says little.

# %% [markdown]
# ## Predict
#
# A tiny model of two equal blocks is to learn a new task. Once only its first block learns, and once only its last.
# Both have the same number of parameters. What share of new examples does each get right?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_first = None  # @param {type:"number"}
my_guess_last = None  # @param {type:"number"}
predict("2.10/first-block", my_guess_first)
predict("2.10/last-block", my_guess_last)

# %% [markdown]
# ## Run: count in a real model
#
# luthier calls this method `select`. A planner counts what moves when the last layers of SmolLM2-135M learn.

# %%
import luthier


def moving(arm: str, model: str = "smollm2-135m") -> tuple[int, float]:
    """Parameters that move, and GB of the training."""
    planned = luthier.plan(model, arms=(arm,), tokens=256, batch=4, device="a100").arms[arm]
    return planned.trainable, sum(term.bytes for term in planned.training.terms) / 1e9


everything = moving("full")[0]
arms = ("select-last-1", "select-last-2", "select-last-4", "select-last-8", "full")
found = [(arm, *moving(arm)) for arm in arms]
show(Table(("arm", "that move", "of all", "GB"), [
    (arm, f"{count:,}", f"{count / everything:.1%}", f"{gigabytes:.2f}") for arm, count, gigabytes in found
]))  # fmt: skip

# %% [markdown]
# The last two of thirty layers hold 7,080,192 parameters. That is 5.3 % of the model. The embedding table holds about a
# fifth, so the layers have less than you may think.

# %% tags=["claim"]
assert moving("select-last-2")[0] == 7_080_192
assert round(100 * 7_080_192 / everything, 1) == 5.3
assert moving("select-last-2")[0] == 2 * moving("select-last-1")[0]
assert 0.15 < 1 - 30 * moving("select-last-1")[0] / everything < 0.25  # the embedding table

# %% [markdown]
# ## Nothing to select
#
# BitFit is a method that moves the biases alone [Ben Zaken et al. 2022]. They are a thousandth of some models. Ask for
# it here.

# %%
try:
    moving("bitfit")
    refused = ""
except luthier.SettingsError as reason:
    refused = str(reason)
print(refused)

# %% [markdown]
# Many newer models have no biases at all. Look at a model before you choose its parts.

# %% tags=["claim"]
assert "no biases" in refused

# %% [markdown]
# ## A model to choose from
#
# Here is a tiny model with two blocks and with biases. It has learned to repeat: at each letter it says the letter that
# stood before it. Now there are two new tasks:
#
# - older: say the letter that stood two places before
# - code: say a letter that is five places on in the alphabet

# %%
import random
from collections.abc import Callable
from copy import deepcopy

import torch

from luthier.scratch.drawn import share_right, train_drawn
from luthier.scratch.objectives import IGNORE, Row
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

LETTERS = 12


def before(places: int):
    """Rows of letters; the target is the one that stood so many places before."""

    def draw(dice: random.Random) -> Row:
        ids = [dice.randrange(LETTERS) for _ in range(8)]
        targets = (*[IGNORE] * places, *ids[: 8 - places])
        return Row(tuple(ids), (0,) * 8, targets)

    return draw


def code(dice: random.Random) -> Row:
    """Rows of letters; the target is five places on, in a circle."""
    ids = [dice.randrange(LETTERS) for _ in range(8)]
    return Row(tuple(ids), (0,) * 8, tuple((one + 5) % LETTERS for one in ids))


older = before(2)
torch.manual_seed(0)
model = Transformer(Shape(vocabulary=16, width=32, layers=2, heads=4, bias=True, tied=False))
train_drawn(model, before(1), steps=300, rows=16)
for name, task in (("the old task", before(1)), ("older", older), ("code", code)):
    print(f"{name}: {share_right(model, task):.0%} right")

# %% [markdown]
# ## Choose parts
#
# A choice is a rule on the parameters' names. Each choice learns for the same number of steps, by luthier's loop.

# %%
CHOICES: dict[str, Callable[[str], bool]] = {
    "everything": lambda name: True,
    "first block": lambda name: "blocks.0." in name,
    "last block": lambda name: "blocks.1." in name,
    "biases": lambda name: name.endswith("bias"),
}


def chosen(choice: str) -> int:
    """Parameters of a choice."""
    return sum(one.numel() for name, one in model.named_parameters() if CHOICES[choice](name))


def learned(choice: str, task, rate: float) -> float:
    """The share of right letters after only this choice learned the task."""
    copy = deepcopy(model)
    for name, parameter in copy.named_parameters():
        parameter.requires_grad_(CHOICES[choice](name))
    train_drawn(copy, task, steps=120, rows=16, learning_rate=rate)
    return share_right(copy, task)


on_code = {choice: learned(choice, code, 3e-3) for choice in CHOICES}
rows = [(choice, f"{chosen(choice):,}", f"{share:.2f}") for choice, share in on_code.items()]
show(Table(("what learns", "parameters", "right at code"), rows))

# %% [markdown]
# First block and last block have the same number of parameters. One learns the code, and the other fails. Both
# have equal room to learn. They stand in different places, and that decides here.

# %% tags=["claim"]
# The same count, far apart.
assert chosen("first block") == chosen("last block")
assert on_code["first block"] > 0.9 and on_code["everything"] > 0.9
assert on_code["last block"] < 0.6

# %% [markdown]
# ## The rate belongs to the choice
#
# Now the other task, and the biases alone. They are 672 parameters, 2.5 % of the model. Once they learn at the rate
# that was right for the blocks, and once at ten times that rate.

# %%
slow, fast = learned("biases", older, 3e-3), learned("biases", older, 3e-2)
show(bars("Right at older, biases alone", [("rate 0.003", slow), ("rate 0.03", fast)]))

# %% [markdown]
# At one rate you would say that biases are too few. At the other they learn the task. Whoever compares methods at a
# single rate compares rates.

# %% tags=["claim"]
# 672 biases, 2.5 % of the parameters: they fail at one rate and learn at ten times that rate.
assert chosen("biases") == 672
assert round(100 * chosen("biases") / chosen("everything"), 1) == 2.5
assert slow < 0.5
assert fast > slow + 0.3

# %% [markdown]
# ## Turn a dial
#
# Choose the parts, the task and the rate yourself. Which is the smallest choice that learns both tasks?

# %% tags=["dials"]
part = "norms"  # @param ["norms", "attention", "mlp", "head", "embedding", "bias"]
task = "older"  # @param ["older", "code"]
rate = 0.03  # @param {type:"number"}

# %%
word = {"norms": "norm"}.get(part, part)
CHOICES["mine"] = lambda name: word in name
reached = learned("mine", older if task == "older" else code, rate)
print(f"{part}: {chosen('mine'):,} parameters, {reached:.0%} right at {task} with a rate of {rate:g}")

# %% [markdown]
# ## Fill a hole
#
# Write the choice that luthier calls `last`: the parameters of the last few blocks. A block's number stands in each
# name, as in `blocks.7.mlp.up.weight`. Return the names that learn, in order. What belongs to no block stays frozen.


# %% tags=["hole"]
def last_blocks(names: list[str], count: int) -> list[str]:
    """The names that belong to the last `count` blocks."""
    ### BEGIN SOLUTION
    numbers = {name: int(name.split("blocks.")[1].split(".")[0]) for name in names if "blocks." in name}
    chosen_blocks = sorted(set(numbers.values()))[-count:] if count else []
    return [name for name in names if numbers.get(name) in chosen_blocks]
    ### END SOLUTION


# %% tags=["test"]
assert last_blocks(["embedding.weight", "blocks.0.up.weight", "blocks.1.up.weight"], 1) == ["blocks.1.up.weight"], (
    "last_blocks: one block was asked for, the last"
)
### BEGIN HIDDEN TESTS
assert last_blocks(["blocks.2.w", "blocks.9.w", "blocks.10.w", "blocks.11.w"], 2) == ["blocks.10.w", "blocks.11.w"], (
    "last_blocks: blocks are ordered as numbers; as texts 9 would stand behind 11"
)
assert last_blocks(["blocks.0.a", "blocks.0.b", "blocks.1.a", "head.weight"], 2) == [
    "blocks.0.a",
    "blocks.0.b",
    "blocks.1.a",
], "last_blocks: all parameters of a block, and nothing that belongs to none"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.10/last-layers", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.10/share", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.10/five-percent", my_choice)

# %% [markdown]
# ## What this does not show
#
# In a large model the last layers often suffice, since the earlier ones know much already. Which part is right for your
# task is measured, not known. Each choice here had two rates at most and one seed. A fair comparison gives each method
# equally many tries, as luthier's studies do.
