# %% [markdown]
# # 2.9 The advantage of PEFT
#
# PEFT means parameter-efficient fine-tuning: most weights stay frozen, and few learn. In this lesson you find out what
# that saves, what it does not save, and what else it gives you.

# %% [markdown]
# ## Predict
#
# In a model of one billion parameters LoRA of rank 8 trains about half a percent of them. How many percent of the
# memory of full fine-tuning does it take to train? And how many percent of the operations?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_memory = None  # @param {type:"number"}
my_guess_operations = None  # @param {type:"number"}
predict("2.9/memory", my_guess_memory)
predict("2.9/operations", my_guess_operations)
# The LoRA of the question has rank 8.

# %% [markdown]
# ## Run: one table for all methods
#
# A planner adds up what each method takes to train. LoRA puts two thin matrices beside each layer. QLoRA does it with
# weights of four bits. A soft prompt is a few learned vectors in front of the input. "Last 2" trains the last two
# layers.

# %%
import luthier

METHODS = ("full", "lora-r8", "qlora-r8", "select-last-2", "soft-16")


def table(model: str, rows: int = 4, tokens: int = 256) -> dict[str, tuple[int, float, float]]:
    """Weights that train, GB of memory and operations of the training, for each method."""
    plan = luthier.plan(model, arms=METHODS, tokens=tokens, batch=rows, device="a100")
    return {
        name: (arm.trainable, sum(term.bytes for term in arm.training.terms) / 1e9, float(arm.training.flops))
        for name, arm in plan.arms.items()
    }


def shares(model: str, **lengths: int) -> dict[str, tuple[float, float, float]]:
    """The same in percent of full fine-tuning."""
    found = table(model, **lengths)
    return {name: tuple(100 * one / of for one, of in zip(row, found["full"])) for name, row in found.items()}


billion = shares("llama-3.2-1b")
rows = [(name, *(f"{one:.3g} %" for one in row)) for name, row in billion.items()]
show(Table(("method", "weights that train", "memory", "operations"), rows))

# %% [markdown]
# Less than half a percent of the weights train. Yet the memory falls only to about a quarter, and the operations only
# to about four fifths. The frozen weights are still held, read, and multiplied.

# %% tags=["claim"]
# LoRA in one billion: less than 0.5 % of the weights, 15 to 35 % of the memory, 70 to 90 % of the operations.
assert billion["lora-r8"][0] < 0.5
assert 15 < billion["lora-r8"][1] < 35
assert 70 < billion["lora-r8"][2] < 90
# The smaller share of weights is not the smaller share of memory.
assert billion["soft-16"][0] < billion["lora-r8"][0] / 50
assert billion["soft-16"][1] > billion["lora-r8"][1] / 2

# %% [markdown]
# ## Turn a dial: what is left
#
# Look at the terms of both methods. Gradients and optimizer states belong to the weights that train, so they vanish.
# Weights and activations stay. Choose another model, or longer rows.

# %% tags=["dials"]
name = "llama-3.2-1b"  # @param ["smollm2-135m", "llama-3.2-1b", "llama-3.1-8b"]
tokens = 256  # @param {type:"slider", min:64, max:2048, step:64}
rows_at_once = 4  # @param {type:"slider", min:1, max:32, step:1}


# %%
def terms(model: str, method: str, rows: int, tokens: int) -> dict[str, float]:
    """GB by term."""
    plan = luthier.plan(model, arms=(method,), tokens=tokens, batch=rows, device="a100")
    return {term.name: term.bytes / 1e9 for term in plan.arms[method].training.terms if term.bytes > 1e6}


for method in ("full", "lora-r8"):
    show(bars(f"{method}: GB with {rows_at_once} rows of {tokens} tokens",
              terms(name, method, rows_at_once, tokens).items(), "GB"))  # fmt: skip
print(f"LoRA takes {shares(name, rows=rows_at_once, tokens=tokens)['lora-r8'][1]:.0f} % of the memory")

# %% tags=["claim"]
# With longer rows the activations grow, and LoRA saves a smaller share.
assert shares("llama-3.2-1b", tokens=2048)["lora-r8"][1] > shares("llama-3.2-1b", tokens=256)["lora-r8"][1]
# In the small model the frozen rest weighs more: LoRA saves a smaller share there.
assert shares("smollm2-135m")["lora-r8"][1] > shares("llama-3.1-8b")["lora-r8"][1]
gone = (
    terms("llama-3.2-1b", "full", 4, 256)["optimizer states"]
    / terms("llama-3.2-1b", "lora-r8", 4, 256)["optimizer states"]
)
assert gone > 100

# %% [markdown]
# ## What else it gives: nothing is forgotten
#
# A tiny model has learned to say each letter's successor. Now it is to say the letter five places on. We teach it
# twice: once all its weights learn, and once only LoRA. The loop writes a checkpoint, and we weigh the file.

# %%
import random
import tempfile
from copy import deepcopy
from pathlib import Path

import peft
import torch

from luthier.scratch.drawn import share_right, train_drawn
from luthier.scratch.objectives import Row
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

LETTERS = 12


def shift(places: int):
    """Rows of letters; each has the letter `places` on as its target, in a circle."""

    def draw(dice: random.Random) -> Row:
        ids = [dice.randrange(LETTERS) for _ in range(8)]
        return Row(tuple(ids), (0,) * 8, tuple((one + places) % LETTERS for one in ids))

    return draw


old, new = shift(1), shift(5)
torch.manual_seed(0)
base = Transformer(Shape(vocabulary=16, width=64, layers=2, heads=4))
train_drawn(base, old, steps=150, rows=16)

linear = ["query", "key", "value", "output", "up", "gate", "down"]
whole = deepcopy(base)
lora = peft.get_peft_model(deepcopy(base), peft.LoraConfig(r=4, lora_alpha=8, target_modules=linear))
files = {}
for name, module in (("full", whole), ("LoRA", lora)):
    with tempfile.TemporaryDirectory() as folder:
        train_drawn(module, new, steps=200, rows=16, learning_rate=5e-3, folder=Path(folder))
        files[name] = (Path(folder) / "checkpoint.safetensors").stat().st_size / 1000

results = [("full", share_right(whole, new), share_right(whole, old), files["full"])]
with_lora = share_right(lora, new)
with lora.disable_adapter():
    without_lora = share_right(lora, old)
results.append(("LoRA, and LoRA switched off", with_lora, without_lora, files["LoRA"]))
show(
    Table(
        ("method", "new task", "old task", "checkpoint, KB"),
        [(name, f"{a:.2f}", f"{b:.2f}", f"{size:,.0f}") for name, a, b, size in results],
    )
)

# %% [markdown]
# Both learn the new task. The full model has lost the old one. LoRA can be switched off, and the old model is there
# again, weight for weight. One base can serve many tasks, with a small file for each.

# %% tags=["claim"]
# Both reach more than 0.9 on the new task. The old one is lost in full, and whole with LoRA switched off.
assert share_right(base, old) > 0.95
assert results[0][1] > 0.9 and results[1][1] > 0.9
assert results[0][2] < 0.5
assert without_lora == share_right(base, old)
assert files["LoRA"] < files["full"] / 3

# %% [markdown]
# ## Fill a hole
#
# How much disk do several tasks take? Full fine-tuning keeps a whole model for each task. An adapter needs the base
# once, and a small file for each task. All numbers take `width` bytes. Return both, in bytes.


# %% tags=["hole"]
def disk_bytes(parameters: int, adapter: int, tasks: int, width: int) -> dict[str, int]:
    """Bytes on disk for all tasks: under "full" and under "adapters"."""
    ### BEGIN SOLUTION
    return {"full": tasks * parameters * width, "adapters": (parameters + tasks * adapter) * width}
    ### END SOLUTION


# %% tags=["test"]
assert disk_bytes(100, 2, 1, 4) == {"full": 400, "adapters": 408}, "disk_bytes: an adapter needs its base as well"
### BEGIN HIDDEN TESTS
assert disk_bytes(100, 2, 10, 4) == {"full": 4000, "adapters": 480}, (
    "disk_bytes: the base stands there once for all tasks"
)
assert disk_bytes(100, 2, 3, 2) == {"full": 600, "adapters": 212}, "disk_bytes: a number takes `width` bytes"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.9/share", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.9/memory", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.9/saves", my_choice)

# %% [markdown]
# ## What this does not show
#
# The planner's bytes are computed, not measured here. Nothing here says which method answers best: that depends on the
# task, on the rows, and on the learning rate of each. A tiny task is easy for both. And a merged adapter can no
# longer be switched off.
