# %% [markdown]
# # Lab 2.3a The LoRA model
#
# LoRA adds two thin matrices to a layer, and only these learn. You have to say which layers get them, and how thin they
# are. Here you write the target modules down and count what trains, before anything is loaded.

# %% [markdown]
# ## Predict
#
# SmolLM2 has 134.5 million parameters. LoRA of rank 8 goes into every linear layer of its blocks. How many percent of
# the parameters train?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"number"}
predict("lab2.3a/percent", my_guess)
# The model: 134.5 million parameters; rank 8.

# %% [markdown]
# ## Run: the layers of a model
#
# The planner reads the model's configuration, not its weights. So this takes a moment only. Here are the linear layers
# of the first block.

# %%
from luthier.adapt.settings import Lora
from luthier.planning.moving import moving
from luthier.planning.read import shape_of

shape = shape_of("smollm2-135m")
first = [layer for layer in shape.layers if ".layers.0." in layer.path and layer.is_linear]
show(Table(("layer", "inputs", "outputs", "weights"), [
    (layer.path.split("layers.0.")[1], layer.inputs, layer.outputs, f"{layer.weights:,}") for layer in first
]))  # fmt: skip

# %% [markdown]
# A layer of i inputs and o outputs has i times o weights. LoRA of rank r puts a matrix of r rows and i columns before a
# matrix of o rows and r columns. That is r times the sum of i and o. For the square layer of 576 inputs and outputs and
# rank 8 it is 9,216 numbers, beside 331,776 weights.

# %% tags=["claim"]
# 576 inputs and outputs, rank 8: 9,216 numbers; the layer itself has 331,776.
square = next(layer for layer in first if layer.path.endswith("q_proj"))
assert (square.inputs, square.outputs, square.weights) == (576, 576, 331_776)
added = moving(shape, "lora", Lora(rank=8)).additions
assert next(one for one in added if one.path == square.path).trainable == 9_216 == 8 * (576 + 576)

# %% [markdown]
# ## Turn a dial: targets and rank

# %% tags=["dials"]
rank = 8  # @param {type:"slider", min:1, max:64, step:1}
targets = "all-linear"  # @param ["all-linear", "q_proj,v_proj", "q_proj,k_proj,v_proj,o_proj", "down_proj"]


# %%
def trainable(rank: int, targets: str) -> int:
    """How many numbers LoRA trains."""
    return sum(one.trainable for one in moving(shape, "lora", Lora(rank=rank, targets=targets)).additions)


moved = trainable(rank, targets)
print(f"rank {rank}, {targets}: {moved:,} of {shape.parameters:,} parameters, {moved / shape.parameters:.2%}")
choices = ("q_proj,v_proj", "q_proj,k_proj,v_proj,o_proj", "all-linear")
show(bars("Trainable numbers at rank 8", [(name, trainable(8, name)) for name in choices]))

# %% [markdown]
# The count grows evenly with the rank. Twice the rank is twice the numbers. Which layers are chosen matters as much.
# The usual pair of query and value is less than a fifth of all linear layers.

# %% tags=["claim"]
# All linear layers at rank 8 are about 1.8 % (1.8) of the parameters. Rank 16 has twice as many. The pair has less
# than a fifth.
assert 134_000_000 < shape.parameters < 135_000_000
assert round(100 * trainable(8, "all-linear") / shape.parameters, 1) == 1.8
assert trainable(16, "all-linear") == 2 * trainable(8, "all-linear")
assert trainable(8, "q_proj,v_proj") < trainable(8, "all-linear") / 5

# %% [markdown]
# ## What does not get smaller
#
# LoRA trains few numbers. But the model still reads with all its weights. They stay in memory, and each token passes
# through them. What shrinks is the optimizer's part, and the file that you hand on.

# %%
import luthier

plan = luthier.plan("smollm2-135m", arms=("full", "lora-r8"), tokens=512, batch=4)
kinds = {arm: {term.name: term.bytes / 1e6 for term in plan.arms[arm].training.terms} for arm in ("full", "lora-r8")}
names = list(dict.fromkeys(name for terms in kinds.values() for name in terms))
show(Table(("MB", "full", "lora-r8"), [
    (name, *[f"{kinds[arm].get(name, 0):,.0f}" for arm in ("full", "lora-r8")]) for name in names
]))  # fmt: skip

# %% tags=["claim"]
# The weights of the model are there in both; LoRA's optimizer states are below a tenth.
assert kinds["lora-r8"]["weights"] >= kinds["full"]["weights"]
states = next(name for name in names if "optimizer" in name or "moments" in name)
assert kinds["lora-r8"].get(states, 0) < kinds["full"][states] / 10

# %% [markdown]
# ## Fill a hole
#
# Write the count. `layers` maps a module's path to its inputs and outputs. `targets` are names such as `q_proj`. A
# path is meant if its last part is one of them.


# %% tags=["hole"]
def lora_parameters(layers: dict[str, tuple[int, int]], targets: list[str], rank: int) -> int:
    """How many numbers LoRA of a rank trains in the modules that the targets name."""
    ### BEGIN SOLUTION
    return sum(rank * sum(sizes) for path, sizes in layers.items() if path.split(".")[-1] in targets)
    ### END SOLUTION


# %% tags=["test"]
assert lora_parameters({"0.q_proj": (64, 64), "0.up": (64, 256)}, ["q_proj"], 8) == 1024, (
    "lora_parameters: each module that is meant has rank times the sum of inputs and outputs"
)
### BEGIN HIDDEN TESTS
assert lora_parameters({"0.q_proj": (64, 64), "1.q_proj": (64, 64)}, ["q_proj"], 8) == 2048, (
    "lora_parameters: a name means the modules of all blocks"
)
assert lora_parameters({"0.q_proj": (64, 64), "0.gate.up": (64, 256)}, ["up"], 4) == 1280, (
    "lora_parameters: inputs and outputs differ in many layers; add both"
)
assert lora_parameters({"0.up_proj": (64, 256)}, ["up"], 4) == 0, (
    "lora_parameters: the last part of the path is the name, whole"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.3a/trainable", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab2.3a/share", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.3a/where", my_choice)

# %% [markdown]
# ## What this does not show
#
# A count does not say what is learned. Which targets and which rank are good enough is measured by a study. And names
# of modules differ from model to model. A name that no module has is an error, and luthier says so before it trains.
