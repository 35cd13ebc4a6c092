# %% [markdown]
# # 2.11 LoRA
#
# LoRA leaves a model's matrices as they are. Beside each it puts two thin matrices, and only these learn. In this
# lesson you write it, count it, merge it into a real model, and meet a trap.

# %% [markdown]
# ## Predict
#
# A matrix reads 512 numbers and writes 64. It has 32,768 weights. LoRA of rank 8 puts two thin matrices beside it. How
# many weights do these two have together?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"integer"}
predict("2.11/weights", my_guess)
# The matrix is 64 by 512, that is 32_768 weights; the rank is 8.

# %% [markdown]
# ## Run: LoRA in a few lines
#
# Matrix A turns the 512 numbers into 8. Matrix B turns the 8 into 64. The result is multiplied by alpha / rank, and
# added to what the model's own matrix W says. A begins with random numbers, and B with zeros.

# %%
import torch

torch.manual_seed(0)
D, E, RANK, ALPHA = 512, 64, 8, 16
W = torch.randn(E, D) / D**0.5
A, B = torch.randn(RANK, D) / D**0.5, torch.zeros(E, RANK)
x = torch.randn(D)


def with_lora(x: torch.Tensor) -> torch.Tensor:
    """W x + (alpha / rank) B A x."""
    return W @ x + ALPHA / RANK * (B @ (A @ x))


print("weights:", A.numel() + B.numel(), "beside", W.numel())
print("the same as without LoRA:", bool((with_lora(x) == W @ x).all()))

# %% [markdown]
# Two thin matrices of rank 8 have 4,608 weights. Since B is zero, nothing has changed yet. The training begins with
# exactly the model that you had.

# %% tags=["claim"]
assert A.numel() + B.numel() == 4_608 == 8 * (512 + 64)
assert torch.equal(with_lora(x), W @ x)

# %% [markdown]
# ## What a rank can say
#
# Suppose the best change of W has a rank of 6. It has six directions, and some matter more. LoRA may have a smaller
# rank. Then a part of the change is left over, even with the best training. The singular values say how large it is.

# %%
change = torch.randn(E, 6) @ torch.diag(torch.tensor([6.0, 4.0, 3.0, 2.0, 1.0, 0.5])) @ torch.randn(6, D)
values = torch.linalg.svdvals(change)


def left_over(rank: int) -> float:
    """The share of the change that the best update of this rank cannot make."""
    return float(values[rank:].square().sum().sqrt() / values.square().sum().sqrt())


show(bars("Share that is left", [(f"rank {rank}", left_over(rank)) for rank in (1, 2, 4, 6, 8)]))

# %% [markdown]
# With a higher rank less is left. From rank 6 on nothing is left, and a higher rank only costs memory.

# %% tags=["claim"]
assert left_over(1) > left_over(2) > left_over(4) > left_over(6)
assert left_over(6) < 1e-4 and left_over(8) < 1e-4

# %% [markdown]
# ## Turn a dial: a real model
#
# LoRA stands beside each linear layer of SmolLM2-135M. A planner counts the weights that it trains. Turn the rank.

# %% tags=["dials"]
rank = 8  # @param {type:"slider", min:1, max:64, step:1}

# %%
import luthier


def trainable(rank: int) -> int:
    """Weights that train in SmolLM2-135M with LoRA of this rank beside every linear layer."""
    arm = f"lora-r{rank}"
    return luthier.plan("smollm2-135m", arms=(arm,), tokens=256, batch=8, device="a100").arms[arm].trainable


full = luthier.plan("smollm2-135m", arms=("full",), tokens=256, batch=8, device="a100").arms["full"].trainable
print(f"rank {rank}: {trainable(rank):,} of {full:,} weights, {trainable(rank) / full:.2%}")
show(bars("Weights that train", [(f"rank {one}", trainable(one)) for one in (1, 8, 16, 64)] + [("all", full)]))

# %% tags=["claim"]
# The count grows in step with the rank.
assert trainable(16) == 2 * trainable(8) == 16 * trainable(1)
assert trainable(8) == 2_442_240

# %% [markdown]
# ## Put it into the model, and merge it
#
# Now the real thing. The model reads a sentence and gives each possible next token a score. It does so four times:
# without LoRA, with LoRA, after B got some numbers, and after the update was added to the weights.

# %%
from luthier.adapt.settings import Lora
from luthier.model.model import parameter_counts

model = luthier.load("smollm2-135m", precision="fp32")
base = model.module
ids = torch.tensor([model.tokenizer("The baker opens at six and sells out by nine.")["input_ids"]])


def scores_of(module) -> torch.Tensor:
    """The scores of each possible next token behind the sentence."""
    with torch.inference_mode():
        return module(input_ids=ids).logits[0, -1].clone()


keys_before = len(base.state_dict())
before = scores_of(base)
lora = luthier.METHODS["lora"]
module = lora.apply(model, Lora(rank=8), 0)
begun = scores_of(module)
moving, every = parameter_counts(module)
with torch.no_grad():
    for name, parameter in module.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.02)
moved = scores_of(module)
keys_inside = len(base.state_dict())
merged_scores = scores_of(module.merge_and_unload())
distance = {
    "with LoRA, B zero": float((begun - before).abs().max()),
    "with LoRA, B moved": float((moved - before).abs().max()),
    "merged, beside B moved": float((merged_scores - moved).abs().max()),
}
show(Table(("largest change of a score", ""), [(name, f"{value:.5f}") for name, value in distance.items()]))
print(f"{moving:,} weights train; the model has {every:,} with LoRA, and {full:,} after merging")

# %% [markdown]
# Merging changes nothing but the last digits. A merged model has as many weights as before, and is as fast.

# %% tags=["claim"]
# B zero changes nothing; the merged model says what the one with LoRA said. The planner had counted right.
assert distance["with LoRA, B zero"] < 1e-3
assert distance["with LoRA, B moved"] > 0.1
assert distance["merged, beside B moved"] < distance["with LoRA, B moved"] / 50
assert moving == trainable(8)
assert every == full + moving

# %% [markdown]
# ## The trap
#
# `peft` does not make a copy of your model. It puts its layers into it. Count the named tensors of the model that you
# loaded: before LoRA came, and while it was inside.

# %%
print(f"named tensors of the base: {keys_before} before, {keys_inside} with LoRA inside")
print("the base after merging says what it said at first:", bool((scores_of(base) - before).abs().max() < 0.05))

# %% [markdown]
# The "original" is no longer the original. Some notebooks keep it in a variable, and compare LoRA with it later. They
# compare LoRA with itself. Load the base anew, or keep its answers before you begin.

# %% tags=["claim"]
# Each of 210 linear layers brought an A and a B; and merging has changed the base's own weights.
assert keys_inside - keys_before == 2 * 210
assert float((scores_of(base) - before).abs().max()) > 0.05

# %% [markdown]
# ## Fill a hole
#
# Write the merge. Matrices are lists of rows: `weight` has a row for each output, `a` a row for each rank, `b` a row
# for each output. Return the merged matrix.


# %% tags=["hole"]
def merged(weight: list[list[float]], a: list[list[float]], b: list[list[float]], alpha: float) -> list[list[float]]:
    """W + (alpha / rank) B A."""
    ### BEGIN SOLUTION
    scale = alpha / len(a)
    return [
        [old + scale * sum(b[out][r] * a[r][into] for r in range(len(a))) for into, old in enumerate(weight[out])]
        for out in range(len(weight))
    ]
    ### END SOLUTION


# %% tags=["test"]
assert merged([[1, 0], [0, 1]], [[1, 2]], [[3], [4]], 1) == [[4, 6], [4, 9]], (
    "merged: output o and input i get the sum of b[o][r] * a[r][i]"
)
### BEGIN HIDDEN TESTS
assert merged([[0, 0]], [[1, 2]], [[3]], 2) == [[6, 12]], "merged: the update is scaled by alpha / rank"
assert merged([[0, 0, 0]], [[1, 0, 0], [0, 1, 0]], [[1, 1]], 4) == [[2, 2, 0]], (
    "merged: the rank is the number of a's rows"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.11/weights", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.11/share", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.11/shrinks", my_choice)

# %% [markdown]
# ## What this does not show
#
# Nothing was trained here. Whether LoRA is as good as full fine-tuning is a question for a study of your task. Nobody
# knows before a training which rank its change needs. And random numbers in B are no learned update: a learned one is
# larger where it helps.
