# %% [markdown]
# # 2.8 Issues with full fine-tuning
#
# Full fine-tuning lets every weight of a model learn. That is the plainest way, and the dearest one. In this lesson you
# take a real training step, weigh everything that it holds, and count what many tasks cost on disk.

# %% [markdown]
# ## Predict
#
# A model's weights take 1 MB. It takes one training step with AdamW. How many MB of weights, gradients and optimizer
# states are there after the step?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"number"}
predict("2.8/after-one-step", my_guess)
# The weights take 1 MB.

# %% [markdown]
# ## Run: one real step
#
# Here is a small model, and AdamW as luthier's loop uses it. We weigh the tensors before the step, after the backward
# pass, and after the step.

# %%
import random

import torch

from luthier.scratch.objectives import Row
from luthier.scratch.rows import loss_of
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

torch.manual_seed(0)
model = Transformer(Shape(vocabulary=256, width=64, layers=4, heads=4))


def megabytes(tensors) -> float:
    """MB of all the tensors that are there."""
    return sum(one.numel() * one.element_size() for one in tensors if one is not None) / 1e6


def held(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """MB of the model's weights, of their gradients, and of what the optimizer keeps."""
    parameters = list(model.parameters())
    states = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    return {
        "weights": megabytes(parameters),
        "gradients": megabytes(one.grad for one in parameters),
        "optimizer states": megabytes(states),
    }


dice = random.Random(0)
rows = [
    Row(tuple(ids), (0,) * 64, (*ids[1:], -100)) for ids in [[dice.randrange(256) for _ in range(64)] for _ in range(4)]
]
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
at = {"at rest": held(optimizer)}
loss, count, _ = loss_of(model, rows)
(loss / count).backward()
at["after the backward pass"] = held(optimizer)
optimizer.step()
at["after the step"] = held(optimizer)
names = list(at["at rest"])
lines = [(when, *(f"{mb[name]:.2f}" for name in names), f"{sum(mb.values()):.2f}") for when, mb in at.items()]
show(Table(("MB", *names, "together"), lines))

# %% [markdown]
# After one step there is four times what the weights take: the weights, a gradient for each, and two moments for each.
# Answering needs the weights alone.

# %% tags=["claim"]
# 1 MB of weights becomes 4 MB: gradients are one more, the two moments two more.
rest, step = at["at rest"], at["after the step"]
assert rest["gradients"] == rest["optimizer states"] == 0
assert step["gradients"] == step["weights"]
assert abs(step["optimizer states"] / step["weights"] - 2) < 0.01
assert abs(sum(step.values()) / rest["weights"] - 4) < 0.01

# %% [markdown]
# ## Turn a dial: your model on your device
#
# The activations come on top. A planner adds them up for known models. Choose a model, and see on which devices full
# fine-tuning fits, in the usual training loop.

# %% tags=["dials"]
name = "llama-3.2-1b"  # @param ["smollm2-135m", "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b"]
rows_at_once = 4  # @param {type:"slider", min:1, max:32, step:1}

# %%
import luthier
from luthier.planning.devices import DEVICES


def gigabytes(model: str, rows: int = 4) -> dict[str, float]:
    """GB by term while all weights train in fp32 with rows of 512 tokens."""
    plan = luthier.plan(
        model, arms=("full",), tokens=512, batch=rows, bits="32", device="a100", accounting="transformers"
    )
    return {term.name: term.bytes / 1e9 for term in plan.arms["full"].training.terms}


def answering(model: str) -> float:
    """GB of its weights with 16 bits, which is how it usually answers."""
    return 2 * luthier.plan(model, arms=("full",), tokens=512, batch=1, device="a100").arms["full"].parameters / 1e9


needed = gigabytes(name, rows_at_once)
show(bars(f"GB to train all of {name}", needed.items(), "GB"))
total = sum(needed.values())
fits = [device for device in DEVICES if DEVICES[device].memory / 1e9 > total]
print(f"{total:.1f} GB to train, {answering(name):.1f} GB to answer; it fits on: {', '.join(fits) or 'none of them'}")
several = ("smollm2-135m", "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b")
show(bars("GB to train all weights", [(one, sum(gigabytes(one).values())) for one in several], "GB"))

# %% [markdown]
# A model of eight billion weights answers on a card of 24 GB. To train all of it, one card of 80 GB is not enough.

# %% tags=["claim"]
assert answering("llama-3.1-8b") < 24 < 80 < sum(gigabytes("llama-3.1-8b").values())
# The whole is at least eight times what it answers with: 4 bytes become 16, and answering takes 2.
for one in ("llama-3.2-1b", "llama-3.1-8b"):
    assert sum(gigabytes(one).values()) > 7.9 * answering(one)

# %% [markdown]
# ## Many tasks, many models
#
# Full fine-tuning gives a whole new model for each task. Turn the number of tasks. Each model is stored with 16 bits.

# %% tags=["dials"]
tasks = 10  # @param {type:"slider", min:1, max:100, step:1}

# %%
adapter = luthier.plan("llama-3.1-8b", arms=("lora-r8",), tokens=512, batch=1, device="a100").arms["lora-r8"].trainable
whole = answering("llama-3.1-8b")
show(
    bars(
        f"GB on disk for {tasks} tasks",
        [("a model for each", tasks * whole), ("one model and adapters", whole + tasks * 4 * adapter / 1e9)],
        "GB",
    )
)

# %% tags=["claim"]
# Ten tasks of the large model: more than 150 GB as models, less than 20 GB as one model with adapters.
assert 10 * whole > 150
assert whole + 10 * 4 * adapter / 1e9 < 20

# %% [markdown]
# ## Fill a hole
#
# Sum up what training holds, in GB of 10^9 bytes. Weights, gradients and both moments take four bytes a number. The
# activations are given in GB. With `trainable` below one, only that share of the weights trains.


# %% tags=["hole"]
def training_gigabytes(parameters: float, activations: float, trainable: float = 1.0) -> float:
    """GB of weights, gradients, moments and activations."""
    ### BEGIN SOLUTION
    return (4 * parameters + 12 * trainable * parameters) / 1e9 + activations
    ### END SOLUTION


# %% tags=["test"]
assert training_gigabytes(1e9, 0.0) == 16.0, "training_gigabytes: four numbers of four bytes for each parameter"
assert training_gigabytes(1e9, 5.0) == 21.0, "training_gigabytes: the activations come on top"
### BEGIN HIDDEN TESTS
assert training_gigabytes(1e9, 0.0, 0.0) == 4.0, "training_gigabytes: frozen weights are held, and have nothing more"
assert training_gigabytes(1e9, 2.0, 0.5) == 12.0, "training_gigabytes: frozen weights are held, and have nothing more"
### END HIDDEN TESTS

# %% tags=["claim"]
# A GB is 10^9 bytes.
assert 10**9 == 1e9

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.8/training", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.8/disk", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.8/issue", my_choice)

# %% [markdown]
# ## What this does not show
#
# Full fine-tuning may still be the right thing, where the model is small and the task is far from what it knows.
# Several devices can share the memory between them. Other optimizers keep less. And the largest cost may not be one of
# bytes. A model in which every weight moves may forget what it could do before. Lesson 2.1 shows that.
