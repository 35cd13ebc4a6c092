# %% [markdown]
# # 1.7 Transformers
#
# A transformer is a stack of layers. In each layer every token looks at the tokens before it and takes something from
# them. This looking is called attention. In this lesson you see the attention of a real model, compute a row of it by
# hand, and switch parts off.

# %% [markdown]
# ## Predict
#
# The model reads `When Mary and John went to the shop, John gave a drink to`. Its next token will be `Mary`. What share
# of its attention does the last token give to `Mary`, on average over all heads and layers? And how much to `When`?
# Write shares from 0 to 1.

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, Tokens, bars, grid, show

my_guess_mary = None  # @param {type:"number"}
my_guess_when = None  # @param {type:"number"}
predict("1.7/share-mary", my_guess_mary)
predict("1.7/share-when", my_guess_when)

# %% [markdown]
# ## Turn a dial: look at heads
#
# SmolLM2 has 30 layers of 9 heads each. In the picture a row is a token that looks, and a column is a token that is
# seen. Take your own sentence, another layer and another head. Below the picture are all heads of the layer.

# %% tags=["dials"]
layer = 17  # @param {type:"slider", min:0, max:29, step:1}
head = 4  # @param {type:"slider", min:0, max:8, step:1}
my_sentence = "When Mary and John went to the shop, John gave a drink to"  # @param {type:"string"}

# %%
import math

import torch

import luthier
from luthier.scratch.imported import imported
from luthier.scratch.transformer import Cache, positions_in, rotations, turned

model = luthier.load("smollm2-135m", precision="fp32", device="cpu")
tokenizer = model.tokenizer
net = imported(model.module)  # the same weights in luthier's own transformer, which shows its attention


def read(text: str, **how):
    """(ids, logits, attention of each layer) of a text."""
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    maps: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        logits = net(ids, maps=maps, **how)
    return ids[0], logits[0], [maps[f"decoder.{at}"][0] for at in range(net.shape.layers)]


def pieces_of(ids) -> list[str]:
    return [tokenizer.decode([token]).strip() or "_" for token in ids.tolist()]


ids, logits, attention = read(my_sentence)
pieces = pieces_of(ids)
show(grid(f"Layer {layer}, head {head}", pieces, pieces, attention[layer][head].tolist()))
rows = [(f"head {at}", pieces[int(row.argmax())], f"{row.max():.2f}") for at, row in enumerate(attention[layer][:, -1])]
show(Table((f"layer {layer}", f"{pieces[-1]!r} looks most at", "share"), rows))
print(f"{net.shape.layers} layers, {net.shape.heads} heads in each")

# %% tags=["claim"]
# 30 layers of 9 heads. Each row of attention sums to 1, and nobody looks ahead.
assert (net.shape.layers, net.shape.heads) == (30, 9)
assert all(torch.allclose(heads.sum(-1), torch.ones(1), atol=1e-4) for heads in attention)
assert all(float(heads.triu(1).abs().max()) == 0 for heads in attention)

# %% [markdown]
# ## Is attention an explanation?
#
# Now we ask who matters for the answer. First we look at the attention of the last token. Then we try it: we replace
# one word and see what the answer becomes.

# %%
sentence = "When Mary and John went to the shop, John gave a drink to"
ids, logits, attention = read(sentence)
shares = torch.stack([heads[:, -1] for heads in attention]).mean((0, 1)).tolist()
pieces = pieces_of(ids)
show(Tokens(pieces, [share / max(shares) for share in shares], [f"{share:.2f}" for share in shares]))
share_when, share_mary = shares[0], shares[pieces.index("Mary")]
print(f"attention of the last token: When {share_when:.3f}, Mary {share_mary:.3f}")

mary = tokenizer(" Mary")["input_ids"][0]


def mary_next(text: str) -> float:
    """The probability that the next token is Mary."""
    return float(read(text)[1][-1].softmax(-1)[mary])


as_it_is = mary_next(sentence)
other_when = mary_next(sentence.replace("When", "After"))
other_mary = mary_next(sentence.replace("Mary", "Alice"))
rows = [("as it is", as_it_is), ("After for When", other_when), ("Alice for Mary", other_mary)]
show(Table(("sentence", "probability of Mary"), [(name, f"{share:.3f}") for name, share in rows]))

# %% [markdown]
# The last token looks most at `When`, many times more than at `Mary`. But `When` can be replaced, and little happens.
# Without `Mary` the answer is gone. The first token is where heads look when they have nothing to do. It is called an
# attention sink [Xiao et al. 2023].

# %% tags=["claim"]
# More than five times as much attention on When as on Mary. When changes the answer little, Mary changes it wholly.
assert share_when > 5 * share_mary
assert abs(as_it_is - other_when) < 0.25
assert as_it_is > 0.7 and other_mary < 0.1
# At layer 20 more than half of all attention lies on the first token.
assert float(attention[20][:, 1:, 0].mean()) > 0.5

# %% [markdown]
# ## Switch a head off
#
# A head is off when its part of the output matrix is zero. How much worse does the model read a sentence then? The
# loss says how surprised it is, in nats a token.

# %%
plain = "The old man put the letter back into the drawer and closed it without a word."


def loss_of(text: str, **how) -> float:
    """Nats a token, without the first one."""
    ids, logits, _ = read(text, **how)
    return float(torch.nn.functional.cross_entropy(logits[:-1], ids[1:]))


def without(layer: int, head: int) -> float:
    """The loss of the plain sentence while one head is off."""
    weight, size = net.decoder.blocks[layer].attention.output.weight.data, net.shape.head_size
    part = weight[:, head * size : (head + 1) * size]
    kept = part.clone()
    part.zero_()
    loss = loss_of(plain)
    part.copy_(kept)
    return loss


loss = loss_of(plain)
first_layer = [without(0, head) - loss for head in range(9)]
layer_twenty = [without(20, head) - loss for head in range(9)]
show(Table(("head off", "layer 0", "layer 20"), [
    (f"head {at}", f"{one:+.3f}", f"{other:+.3f}") for at, (one, other) in enumerate(zip(first_layer, layer_twenty))
]))  # fmt: skip
print(f"the loss with all heads: {loss:.2f}")

# %% [markdown]
# In the first layer a single head can matter. In layer 20 none of the nine does much on this sentence. Others do their
# work as well.

# %% tags=["claim"]
# The worst loss of a head is far larger in layer 0 than in layer 20.
assert max(first_layer) > 0.3
assert max(map(abs, layer_twenty)) < 0.1

# %% [markdown]
# ## Switch the mask off
#
# The causal mask hides the tokens that come later. We let every token see all others and read the sentence again.

# %%
tokens = len(tokenizer(plain)["input_ids"])
seen = loss_of(plain, prefix_BT=torch.ones(1, tokens, dtype=torch.bool))
show(bars("Loss in nats a token", [("with the mask", loss), ("without the mask", seen)]))

# %% [markdown]
# The loss falls, and nobody learned anything. The model reads the next token where it should say it. Its heads that
# copy from earlier places copy from later ones too. A loss that is too good is a reason to look at the mask.

# %% tags=["claim"]
# Without the mask the loss is less than half.
assert seen < loss / 2

# %% [markdown]
# ## Fill a hole
#
# Compute a row of attention. A token has a query, and each token that it sees has a key. Take the product of the query
# with each key, and divide by the square root of their width. Then softmax makes shares of the scores: e to the power
# of each, divided by the sum of these.


# %% tags=["hole"]
def attention_row(query: list[float], keys: list[list[float]]) -> list[float]:
    """The share of attention on each key."""
    ### BEGIN SOLUTION
    scores = [sum(q * k for q, k in zip(query, key)) / math.sqrt(len(query)) for key in keys]
    highest = max(scores)
    powers = [math.exp(score - highest) for score in scores]
    return [power / sum(powers) for power in powers]
    ### END SOLUTION


# %% tags=["test"]
assert [round(share, 6) for share in attention_row([1.0], [[0.0], [0.0]])] == [0.5, 0.5], (
    "attention_row: equal scores get equal shares"
)
assert round(attention_row([2.0], [[1.0], [0.0]])[0], 6) == 0.880797, "attention_row: shares are powers of e"
### BEGIN HIDDEN TESTS
assert round(attention_row([1.0, 1.0, 1.0, 1.0], [[1.0, 1.0, 1.0, 1.0], [0.0] * 4])[0], 6) == 0.880797, (
    "attention_row: divide the products by the square root of the width"
)
assert round(attention_row([30.0], [[30.0], [29.0], [0.0]])[0], 6) == 1.0, (
    "attention_row: large scores must not overflow; subtract the largest one first"
)
### END HIDDEN TESTS

# %% [markdown]
# Your row beside the model's own: the last token, layer 20, head 0. Query and keys come from the model.

# %%
cache, queries, maps = Cache(), [], {}
part = net.decoder.blocks[20].attention
hook = part.query.register_forward_hook(lambda module, given, made: queries.append(made))
with torch.no_grad():
    net(ids[None], cache=cache, maps=maps)
hook.remove()
turn = rotations(positions_in(torch.zeros_like(ids[None])), net.shape)
query = turned(queries[0].unflatten(-1, (-1, net.shape.head_size)).transpose(1, 2), turn)[0, 0, -1]
keys = cache.layers["decoder.20"][0][0, 0]
mine = attention_row(query.tolist(), keys.tolist())
theirs = maps["decoder.20"][0, 0, -1].tolist()
rows = [(piece, f"{one:.4f}", f"{other:.4f}") for piece, one, other in zip(pieces, mine, theirs)]
show(Table(("token", "by hand", "the model"), rows))

# %% tags=["claim"]
# The row by hand is the model's row.
assert all(math.isclose(one, other, abs_tol=1e-3) for one, other in zip(mine, theirs))

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.7/row", my_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.7/explanation", my_choice)

# %% [markdown]
# ## What this does not show
#
# One sentence and one model are no law. Some heads do a clear job, and their attention shows it. To learn what a part
# does, change it and look at what happens, as you did here. And a layer is more than attention. Most of its weights
# stand in the MLP behind it, and this lesson did not open that.
