# %% [markdown]
# # 1.18 What training takes
#
# A model is a list of numbers. A machine that trains it holds much more than this list. In this lesson you count what
# it holds, term by term. You need no model for it.

# %% [markdown]
# ## Predict
#
# A model has one billion parameters. Each parameter is a number of four bytes. So the model alone takes four gigabytes.
# How many gigabytes does its training take? Write your guess before you go on.

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"number"}
predict("1.18/gigabytes", my_guess)

# %% [markdown]
# ## Run: the textbook's sum
#
# AdamW is the usual optimizer. It keeps two numbers beside each parameter: how the gradient was lately, and how large
# it was. A textbook adds this up for each parameter.

# %%
from luthier.planning.words import TEXTBOOK

show(Table(("held in memory", "bytes a parameter"), [(title, each) for title, each, _ in TEXTBOOK]))
in_all = sum(each for _, each, _ in TEXTBOOK)
print(f"together {in_all} bytes a parameter, so {in_all} GB for a billion parameters")

# %% [markdown]
# The sum is six times the weights. Nobody who has only the weights in mind expects that.

# %% tags=["claim"]
# The weights take 4 GB, and training takes 24 GB: six times as much.
assert in_all == 24
assert TEXTBOOK[0][1] == 4
assert in_all == 6 * TEXTBOOK[0][1]

# %% [markdown]
# ## Turn a dial: what the sum hides
#
# The last line of the table is a rule of thumb. Activations do not come from the parameters. They come from the text
# that is read: how many rows, and how long. Here a planner adds up every term of a real model's training. Turn the
# dials. Watch which bars grow and which stay.

# %% tags=["dials"]
rows = 8  # @param {type:"slider", min:1, max:64, step:1}
tokens = 512  # @param {type:"slider", min:64, max:4096, step:64}
bits = "32"  # @param ["32", "16"]

# %%
import luthier


def terms_of(rows: int, tokens: int, bits: str = "32") -> dict[str, float]:
    """GB by term while Llama-3.2-1B trains with AdamW, in the usual training loop."""
    plan = luthier.plan(
        "llama-3.2-1b", arms=("full",), tokens=tokens, batch=rows, bits=bits, device="a100", accounting="transformers"
    )
    return {term.name: term.bytes / 1e9 for term in plan.arms["full"].training.terms}


planned = terms_of(rows, tokens, bits)
show(bars(f"GB with {rows} rows of {tokens} tokens", planned.items(), "GB"))
print(f"together {sum(planned.values()):.1f} GB")

# %% [markdown]
# With four rows the activations take 7 GB. With eight rows they take 14 GB. The weights stay as they are. Now turn the
# rows down to one. The activations vanish from the bars. The memory is fullest at another moment then: at the
# optimizer's step, and by then no activation is left.

# %% tags=["claim"]
# Four rows: 7 GB of activations. Eight rows: 14 GB. Weights and optimizer states do not move.
four_rows, eight_rows = terms_of(4, 512), terms_of(8, 512)
assert round(four_rows["kept activations"]) == 7
assert round(eight_rows["kept activations"]) == 14
assert four_rows["weights"] == eight_rows["weights"]
assert four_rows["optimizer states"] == eight_rows["optimizer states"]
assert "kept activations" not in terms_of(1, 512)

# %% [markdown]
# ## Fewer bits
#
# A number of two bytes takes half the memory. What does it lose? Here is pi in four bytes, and in two. The two-byte
# kind is called bf16. It keeps the range of a four-byte number and gives up digits.

# %%
import math

import torch

for kind in (torch.float32, torch.bfloat16):
    print(kind, torch.tensor(math.pi, dtype=kind).item())

# %% [markdown]
# In bf16 pi is 3.140625. Three digits are right. That is enough for weights, and too little to add a small step to a
# large weight. So many training loops keep a four-byte copy of the weights as well.

# %% tags=["claim"]
# In bf16 pi is 3.140625. A step of a thousandth is lost when it is added to a weight of one.
assert torch.tensor(math.pi).bfloat16().item() == 3.140625
one = torch.tensor(1.0).bfloat16()
assert (one + 0.001).bfloat16() == one

# %% [markdown]
# ## Fill a hole
#
# Write the bytes of a training yourself, without activations. A parameter that trains needs its weight, its gradient
# and two moments. Each is a number of `width` bytes. A parameter that is frozen needs its weight alone.


# %% tags=["hole"]
def training_bytes(parameters: int, trainable: int, width: int) -> int:
    """Bytes of weights, gradients and AdamW's moments, when `trainable` of the parameters train."""
    ### BEGIN SOLUTION
    weights = parameters * width
    gradients = trainable * width
    moments = 2 * trainable * width
    return weights + gradients + moments
    ### END SOLUTION


# %% tags=["test"]
assert training_bytes(10, 10, 4) == 160, "training_bytes: count a weight, a gradient and two moments for each number"
### BEGIN HIDDEN TESTS
assert training_bytes(10, 10, 2) == 80, "training_bytes: a number takes `width` bytes, and not always four"
assert training_bytes(10, 0, 4) == 40, "training_bytes: a frozen parameter has no gradient and no moments"
assert training_bytes(1000, 10, 4) == 4120, "training_bytes: a frozen parameter has no gradient and no moments"
### END HIDDEN TESTS

# %% [markdown]
# ## A slide that is wrong
#
# A well-known slide shows the same table as above. Then it says that a model of one billion parameters needs `80` GB
# to train, and one of 175 billion needs `14,000` GB. Check it against the slide's own sum.

# %%
for billions, said in ((1, 80), (175, 14_000)):
    print(f"{billions} billion parameters: the table gives {in_all * billions:,} GB, the slide says {said:,} GB")

# %% [markdown]
# The table gives 24 GB and 4,200 GB. Both printed numbers are too large by the same factor. So it is no slip of the
# pen. Somebody counted something that the table does not show.

# %% tags=["claim"]
# The table gives 24 GB for 1 and 4,200 GB for 175 billion parameters. The slide's 80 and 14,000 share one factor.
assert (in_all * 1, in_all * 175) == (24, 4_200)
assert math.isclose(80 / 24, 14_000 / 4_200)
assert round(80 / 24, 2) == 3.33

# %% [markdown]
# ## Your question
#
# The numbers are yours alone. Type your answer between the quotation marks and run the cell.

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.18/factor", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.18/memory", my_other_answer)

# %% [markdown]
# ## What this does not show
#
# The planner's numbers are computed, not measured. A real program takes some memory for itself, and its memory has
# gaps. Several machines can share the terms between them. Then each holds a part. And bytes are only one price:
# training also takes operations, which lesson 1.19 counts.
