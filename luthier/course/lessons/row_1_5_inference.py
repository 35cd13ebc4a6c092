# %% [markdown]
# # 1.5 Inference
#
# Inference is what happens when a model answers. It has two parts. First the model reads the prompt, all tokens in one
# pass. Then it writes, and each new token takes a pass of its own. In this lesson you time both, and weigh the memory
# between them.

# %% [markdown]
# ## Predict
#
# The model has read a prompt. How many kilobytes must it keep for each token, if a number takes two bytes? The model
# has 30 layers.

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

layers_of_model = 30
my_guess = None  # @param {type:"number"}
predict("1.5/kilobytes", my_guess)

# %% [markdown]
# ## Run: read, then write
#
# Here greedy decoding is written out. In each pass every layer makes a key and a value of each token that it reads.
# With a cache they are kept. Without one, all of the text is read again for each new token.

# %%
import time

import torch

import luthier
from luthier.scratch.imported import imported
from luthier.scratch.transformer import Cache

model = luthier.load("smollm2-135m", precision="fp32", device="cpu")
net = imported(model.module)  # the same weights in luthier's own transformer
prompt, _ = model.renderer.render([{"role": "user", "content": "Write three sentences about the sea."}])


def write(new: int, cached: bool) -> dict:
    """Writes tokens; counts passes and positions that were read, and takes the time of both parts."""
    ids, cache = list(prompt), Cache() if cached else None
    positions, seconds = 0, []
    with torch.no_grad():
        for step in range(new):
            began = time.perf_counter()
            given = ids[-1:] if cached and step else ids
            logits = net(torch.tensor([given]), cache=cache)
            seconds.append(time.perf_counter() - began)
            positions += len(given)
            ids.append(int(logits[0, -1].argmax()))
    return {
        "tokens": ids[len(prompt) :], "passes": new, "positions": positions, "cache": cache,
        "reading": seconds[0] / len(prompt), "writing": sum(seconds[1:]) / max(1, new - 1),
    }  # fmt: skip


NEW = 10
kept, again = write(NEW, cached=True), write(NEW, cached=False)
print(repr(model.tokenizer.decode(kept["tokens"])))
rows = [
    (name, len(prompt), one["passes"], one["positions"], f"{1000 * one['reading']:.0f}", f"{1000 * one['writing']:.0f}")
    for name, one in (("with a cache", kept), ("without", again))
]
show(Table(("", "prompt", "passes", "positions read", "ms a token read", "ms a token written"), rows))

# %% [markdown]
# Both write the same. Look at the milliseconds. A token that is written costs more than one that is read, although it
# is one token. In a pass all weights have to come from memory. When the prompt is read, this is shared by all of its
# tokens. When a token is written, it pays alone. That is why providers ask more for output than for input.

# %% tags=["claim"]
# The same tokens with and without a cache. Ten tokens take ten passes. Without a cache far more positions are read.
assert kept["tokens"] == again["tokens"]
assert kept["passes"] == again["passes"] == 10
assert kept["positions"] == len(prompt) + 10 - 1
assert again["positions"] == sum(len(prompt) + at for at in range(10))
assert again["positions"] > 5 * kept["positions"]

# %% [markdown]
# ## What the cache weighs
#
# The cache holds a key and a value for each token, in each layer. We weigh it, and ask luthier's planner for the same.

# %%
from luthier.planning.cache import cache_layers, token_bytes
from luthier.planning.read import shape_of

numbers = sum(part.numel() for pair in kept["cache"].layers.values() for part in pair)
a_token = 2 * numbers // kept["positions"]
planned = token_bytes(cache_layers(shape_of("smollm2-135m")), number=2)
print(f"{a_token:,} bytes a token by weighing, {planned:,} by the planner, at two bytes a number")

# %% [markdown]
# It is 23,040 bytes for each token: 30 layers, a key and a value, 3 heads of 64 numbers, two bytes each. SmolLM2 has 9
# heads of queries, but they share 3 heads of keys and values. Without this sharing the cache would be three times as
# large.

# %% tags=["claim"]
# 30 layers x 2 x 3 heads x 64 x 2 bytes = 23,040 bytes; with all 9 heads it would be three times that.
assert (net.shape.layers, net.shape.heads, net.shape.keys, net.shape.head_size) == (30, 9, 3, 64)
assert a_token == planned == 30 * 2 * 3 * 64 * 2 == 23_040

# %% [markdown]
# ## Turn a dial: many users
#
# The weights stand in memory once, for all users. Each user has a cache of his own. Which is larger?

# %% tags=["dials"]
users = 8  # @param {type:"slider", min:1, max:64, step:1}
tokens_each = 2000  # @param {type:"slider", min:100, max:8000, step:100}

# %%
weights = 2 * sum(one.numel() for one in model.module.parameters())


def megabytes(users: int, tokens: int) -> float:
    """MB of the caches of some users."""
    return users * tokens * a_token / 1e6


show(bars("MB at two bytes a number", [("weights", weights / 1e6), ("caches", megabytes(users, tokens_each))], "MB"))

# %% tags=["claim"]
# Eight users with 2,000 tokens each take more memory than the weights.
assert megabytes(8, 2_000) > weights / 1e6

# %% [markdown]
# ## Fill a hole
#
# How many positions does a model read to write `new` tokens behind a prompt? With a cache the prompt is read once, and
# then each new token, but the last one is never read. Without a cache the whole text so far is read for each new token.


# %% tags=["hole"]
def positions_read(prompt: int, new: int, cached: bool) -> int:
    """Positions in all passes together."""
    ### BEGIN SOLUTION
    if cached:
        return prompt + new - 1
    return sum(prompt + written for written in range(new))
    ### END SOLUTION


# %% tags=["test"]
assert positions_read(10, 1, True) == 10, "positions_read: the last new token is written and not read"
assert positions_read(10, 1, False) == 10, "positions_read: the first new token takes one reading of the prompt"
### BEGIN HIDDEN TESTS
assert positions_read(10, 3, True) == 12, "positions_read: with a cache a new token is read once"
assert positions_read(10, 3, False) == 33, "positions_read: without a cache the text grows, and all of it is read again"
### END HIDDEN TESTS

# %% tags=["claim"]
# The formula gives what was counted.
assert positions_read(len(prompt), 10, True) == kept["positions"]
assert positions_read(len(prompt), 10, False) == again["positions"]

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.5/cache", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.5/seconds", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.5/cost", my_choice)

# %% [markdown]
# ## What this does not show
#
# The milliseconds are those of this machine at this moment. On a GPU the gap between reading and writing is wider.
# A server can write for many users in one pass, and then they share the weights. luthier's own generator does that.
# This lesson wrote for one.
