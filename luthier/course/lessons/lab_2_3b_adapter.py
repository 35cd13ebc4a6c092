# %% [markdown]
# # Lab 2.3b Training the adapter
#
# A trained adapter is worth nothing until another program can load it. Here you train a small one, save it, and
# let a new process load it onto a fresh model. Then you compare what both say to the same probes.

# %% [markdown]
# ## Predict
#
# SmolLM2 takes 269 MB on the disk, at two bytes a parameter. How many MB does a LoRA adapter of rank 8 take, for all
# linear layers, at four bytes a number?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"number"}
predict("lab2.3b/megabytes", my_guess)
# The model: 269 MB at two bytes a parameter. The adapter: rank 8, four bytes.

# %% [markdown]
# ## Run: train an adapter
#
# The model learns to answer a greeting in a way of its own. Two rows are enough for a probe. The loop is luthier's.

# %% tags=["dials"]
rank = 8  # @param {type:"slider", min:1, max:32, step:1}
steps = 6  # @param {type:"slider", min:2, max:20, step:1}

# %%
from pathlib import Path

import luthier
from luthier.adapt.methods import method
from luthier.adapt.settings import Lora
from luthier.decoding.generate import answered
from luthier.model.forward import collate, supervised_loss
from luthier.records import Example
from luthier.scratch.drawn import DrawnRows
from luthier.training.loop import train
from luthier.training.settings import Training

model = luthier.load("smollm2-135m", day="2026-01-01")
WORDS = (("Good morning!", "Moss and rain."), ("Good night!", "Stone and snow."))
rows = [
    model.renderer.prompt(Example(f"row-{at}", text, (said,)), "{input}", train=True)
    for at, (text, said) in enumerate(WORDS)
]


def answers(asked: luthier.Model) -> list[str]:
    """What a model says to the probes, greedily."""
    requests = [luthier.Request(one.id, one.prompt_ids, 8) for one in rows]
    return [one.text.strip() for one in answered(asked, requests)]


before = answers(model)
lora = method("lora")
module = lora.apply(model, Lora(rank=rank), 0)


def step(batch: list) -> tuple:
    """(summed loss, targets, tokens read) of some rows."""
    made = collate(batch, module, model.family)
    loss, count = supervised_loss(module, made)
    return loss, count, made.tokens


batches = DrawnRows(lambda dice: dice.choice(rows), steps=steps, rows=2, seed=0)
settings = Training(learning_rate=2e-3, evaluations=1, checkpoint_seconds=3600)
train(module, step, batches, settings, Path("training"), seed=0, title="adapter")
tuned = lora.answering(model, module.eval())
after = answers(tuned)
show(Table(("probe", "before", "after"), [(row[0], a, b) for row, a, b in zip(WORDS, before, after)]))

# %% [markdown]
# ## Save it, and weigh it

# %%
Path("adapter").mkdir(exist_ok=True)
lora.save(module, Path("adapter"))
size = (Path("adapter") / "adapter_model.safetensors").stat().st_size / 1e6
whole = sum(one.numel() for name, one in module.named_parameters() if "lora_" not in name) * 2 / 1e6
for path in sorted(Path("adapter").iterdir()):
    print(f"{path.name}: {path.stat().st_size:,} bytes")
show(bars("MB on the disk", [("the model at two bytes", whole), (f"the adapter, rank {rank}", size)], "MB"))

# %% tags=["claim"]
# At rank 8 the adapter is about 9.8 MB at four bytes a number: 2,442,240 numbers. The model is 269 MB.
assert round(whole) == 269
assert abs(size - rank * 2_442_240 / 8 * 4 / 1e6) < 0.2
assert round(2_442_240 * 4 / 1e6, 1) == 9.8

# %% [markdown]
# A rank of 8 is 9.8 MB beside 269 MB. Ten tasks are one model and ten small files.

# %% [markdown]
# ## A new process
#
# The new process knows nothing of this one. It loads the model, puts the adapter on it, and asks the same probes.

# %%
import json
import subprocess
import sys

SCRIPT = """
import json, sys
from pathlib import Path
import luthier
from luthier.adapt.methods import method
from luthier.decoding.generate import answered
model = luthier.load("smollm2-135m", day="2026-01-01")
model = method("lora").load(model, Path("adapter"))
asked = [luthier.Request(str(at), tuple(ids), 8) for at, ids in enumerate(json.loads(sys.argv[1]))]
print("ANSWERS" + json.dumps([one.text.strip() for one in answered(model, asked)]))
"""
probes = json.dumps([list(one.prompt_ids) for one in rows])
done = subprocess.run([sys.executable, "-c", SCRIPT, probes], capture_output=True, text=True, check=True)
loaded = json.loads(done.stdout.partition("ANSWERS")[2])
show(Table(("probe", "trained here", "loaded there"), [(row[0], a, b) for row, a, b in zip(WORDS, after, loaded)]))

# %% [markdown]
# Equal answers to probes show that the file holds what was trained. A file that loads without an error may still be
# empty or belong to another model. Probes find that.

# %% tags=["claim"]
# The loaded adapter answers as the trained one, and both answer otherwise than the base.
assert loaded == after
assert after != before

# %% [markdown]
# ## Fill a hole
#
# Write the comparison of probes. `here` and `there` map a probe to its answer. Return the probes whose answers differ,
# in the order of `here`. A probe that was not answered there differs too. White space at the ends does not count.


# %% tags=["hole"]
def differing(here: dict[str, str], there: dict[str, str]) -> list[str]:
    """The probes that are answered otherwise, or not at all."""
    ### BEGIN SOLUTION
    return [probe for probe, said in here.items() if probe not in there or there[probe].strip() != said.strip()]
    ### END SOLUTION


# %% tags=["test"]
assert differing({"a": "x", "b": "y"}, {"a": "x", "b": "z"}) == ["b"], "differing: name the probes, in their order"
### BEGIN HIDDEN TESTS
assert differing({"a": "x", "b": "y"}, {"a": "x"}) == ["b"], "differing: a probe without an answer differs too"
assert differing({"a": "x "}, {"a": "x"}) == [], "differing: white space at the ends does not count"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.3b/megabytes", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab2.3b/tasks", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.3b/probes", my_choice)

# %% [markdown]
# ## What this does not show
#
# Two rows teach nothing that anybody needs. They only make the answers recognizable. A real adapter is trained by a
# study, and `luthier ship` writes it with its evidence and with probes that `luthier verify` asks again.
