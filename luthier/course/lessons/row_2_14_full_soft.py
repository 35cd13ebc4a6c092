# %% [markdown]
# # 2.14 Full fine-tuning against soft prompts
#
# A soft prompt is a few vectors that are learned. They stand before the text, where words of an instruction would
# stand, and the model itself stays as it is. Is that as good as moving every parameter? The answer depends on a number
# that nobody looks at: the learning rate.

# %% [markdown]
# ## Predict
#
# Both methods get the same rows and the same number of steps. Full fine-tuning does well with a learning rate of
# 0.001. What share of answers will a soft prompt get right with the same rate?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"number"}
predict("2.14/soft-share", my_guess)
USUAL = 0.001  # the rate that full fine-tuning is content with

# %% [markdown]
# ## Run: a tiny model with three skills
#
# The model reads six letters behind an instruction. There are three instructions: move each letter by one, by four, or
# by seven places of the alphabet. The model learns all three. This takes some seconds.

# %%
import copy
import random

import torch
from torch import nn

from luthier.scratch.drawn import moved_letters, share_right, train_drawn
from luthier.scratch.objectives import Row
from luthier.scratch.rows import inputs_of
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

OLD = 10
MOVES = {10: 1, 11: 4, 12: 7}  # instruction -> places


def skills(dice: random.Random) -> Row:
    """One of the three skills by chance."""
    instruction = dice.choice(list(MOVES))
    return moved_letters(dice, instruction, MOVES[instruction])


torch.manual_seed(0)
shape = Shape(vocabulary=16, family="encoder", width=32, layers=2, heads=2, positions="learned", window=8)
base = Transformer(shape)
train_drawn(base, skills, steps=300)
print(f"the base has {share_right(base, skills):.2f} right on its three skills")

# %% [markdown]
# Now a new task comes. Before the letters stands the instruction for one place, but now they have to move by four. Full
# fine-tuning moves all parameters. The soft prompt moves one vector, which is added at the instruction's place.

# %%


def new_task(dice: random.Random) -> Row:
    """An old instruction before letters that move by four."""
    return moved_letters(dice, OLD, 4)


class WithSoftPrompt(nn.Module):
    """A frozen model; a learned vector is added to the embedding at the first place."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.vector = nn.Parameter(torch.zeros(shape.width))
        self.model.embedding.register_forward_hook(self._put)

    def _put(self, module: nn.Module, args: object, embedded: torch.Tensor) -> torch.Tensor:
        first = torch.zeros(embedded.shape[1], 1)
        first[0] = 1
        return embedded + first * self.vector

    def forward(self, *args: object, **named: object) -> torch.Tensor:
        return self.model(*args, **named)


def tuned(method: str, rate: float, steps: int = 40) -> nn.Module:
    """The base after a training on the new task."""
    module = copy.deepcopy(base) if method == "full" else WithSoftPrompt(base)
    train_drawn(module, new_task, steps=steps, learning_rate=rate)
    return module


def moved(module: nn.Module) -> int:
    """How many parameters a training moves."""
    return sum(one.numel() for one in module.parameters() if one.requires_grad)


full, soft = tuned("full", USUAL), tuned("soft", USUAL)
at_usual = {name: share_right(module, new_task) for name, module in (("full", full), ("soft", soft))}
show(Table(("method", "parameters moved", "right"), [
    ("full", f"{moved(full):,}", f"{at_usual['full']:.2f}"),
    ("soft", f"{moved(soft):,}", f"{at_usual['soft']:.2f}"),
]))  # fmt: skip

# %% [markdown]
# The table looks like a victory of full fine-tuning. The soft prompt seems worth little. But it moved only 32 numbers,
# and each step of AdamW moves a number by about the rate. With small steps a vector does not get far.

# %% tags=["claim"]
# Same rate: full is above 0.95, and soft far behind. The soft prompt has 32 numbers.
assert moved(soft) == 32 and moved(full) > 10_000
assert at_usual["full"] > 0.95
assert at_usual["full"] - at_usual["soft"] > 0.2

# %% [markdown]
# ## Turn a dial: the rate of the soft prompt

# %% tags=["dials"]
rate = 0.03  # @param [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]

# %%
print(f"soft prompt at {rate}: {share_right(tuned('soft', rate), new_task):.2f} right")

# %% [markdown]
# ## Equal effort
#
# This is fair: each method tries the same number of rates. A dev set chooses one of them. Only that one is measured on
# the test set. Each training reads equally many rows.

# %%
RATES = (0.001, 0.01, 0.1)
DEV, TEST = 1, 2  # seeds of the rows

trials = {}
for method in ("full", "soft"):
    for one in RATES:
        module = tuned(method, one)
        trials[method, one] = (share_right(module, new_task, seed=DEV), module)
show(Table(("method", *[f"rate {one}" for one in RATES]), [
    (method, *[f"{trials[method, one][0]:.2f}" for one in RATES]) for method in ("full", "soft")
]))  # fmt: skip
chosen = {method: max(RATES, key=lambda one: trials[method, one][0]) for method in ("full", "soft")}
print("chosen on dev:", chosen)

# %%
from luthier.stats.intervals import paired
from luthier.stats.simultaneous import verdict


@torch.no_grad()
def shares(module: nn.Module, rows: int = 200) -> list[float]:
    """The share of right letters of each test row."""
    dice = random.Random(f"test-{TEST}")
    inputs, targets = inputs_of([new_task(dice) for _ in range(rows)], torch.device("cpu"))
    right = module.eval()(**inputs).argmax(-1) == targets
    return (right.float().sum(1) / 6).tolist()


rows = {method: shares(trials[method, chosen[method]][1]) for method in chosen}
difference = paired(rows["full"], rows["soft"])
interval = difference.interval(0.95)
said = verdict(interval, margin=0.05, n=difference.n, nonzero=difference.nonzero)
show(bars("Right on test, each at its own rate", [(name, sum(own) / len(own)) for name, own in rows.items()]))
print(f"full - soft {difference.value:+.3f}, interval {interval.low:+.3f} to {interval.high:+.3f}; verdict: {said}")

# %% [markdown]
# At its own rate the soft prompt is another method. What looked like a gap of the methods was mostly a gap of the
# rates. The soft prompt's best rate is at least ten times the rate of the first table.

# %% tags=["claim"]
# Chosen on dev, the soft prompt's rate is at least ten times USUAL, and it gains over 0.2 by it.
assert chosen["soft"] >= 10 * USUAL * 0.999
soft_share = sum(rows["soft"]) / len(rows["soft"])
assert soft_share > at_usual["soft"] + 0.2

# %% [markdown]
# ## Fill a hole
#
# Write the fair choice. `trials` maps a rate to a pair: the share on dev and the share on test. Return the rate that
# dev chooses and its share on test. Where rates are equal on dev, take the smaller one.


# %% tags=["hole"]
def fair_choice(trials: dict[float, tuple[float, float]]) -> tuple[float, float]:
    """(rate, share on test) of the rate that is best on dev."""
    ### BEGIN SOLUTION
    rate = min(trials, key=lambda one: (-trials[one][0], one))
    return rate, trials[rate][1]
    ### END SOLUTION


# %% tags=["test"]
assert fair_choice({0.003: (0.5, 0.48), 0.3: (0.9, 0.88)}) == (0.3, 0.88), (
    "fair_choice: dev chooses the rate, and the share on test is reported"
)
### BEGIN HIDDEN TESTS
assert fair_choice({0.003: (0.9, 0.80), 0.3: (0.8, 0.85)}) == (0.003, 0.80), (
    "fair_choice: the test set must not choose; what it chose would look better than it is"
)
assert fair_choice({0.3: (0.9, 0.7), 0.03: (0.9, 0.8)}) == (0.03, 0.8), (
    "fair_choice: of equal shares on dev take the smaller rate"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.14/examples", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.14/effort", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.14/cannot-tell", my_choice)

# %% [markdown]
# ## What this does not show
#
# This model is tiny, and its new task was one of its old skills. That is where a soft prompt can do well: it calls up
# what is there. A task that needs new knowledge is another matter. And three rates are few. A study of luthier tunes
# each arm with equal effort: `luthier study` with `tune`.
