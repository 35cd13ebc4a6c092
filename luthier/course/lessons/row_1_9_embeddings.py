# %% [markdown]
# # 1.9 Embeddings and positions
#
# A token is a number without meaning. The embedding turns it into a list of numbers, a vector. It is the same vector
# wherever the token stands. In this lesson you see what an embedding knows, what the layers add, and why positions are
# needed.

# %% [markdown]
# ## Predict
#
# A river has a bank, and money lies in a bank. Two vectors can be compared by their cosine: 1 means the same direction.
# What is the cosine of the two embeddings of `bank`? And what is it when the model has read the words before it, up to
# layer 8?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_embedding = None  # @param {type:"number"}
my_guess_layer_8 = None  # @param {type:"number"}
predict("1.9/cosine-embedding", my_guess_embedding)
predict("1.9/cosine-layer-8", my_guess_layer_8)

# %% [markdown]
# ## Turn a dial: the same word in two senses
#
# Four texts end with `bank`. Two speak of a river and two of money. Turn the layer. Layer 0 is the embedding itself.

# %% tags=["dials"]
layer = 8  # @param {type:"slider", min:0, max:30, step:1}

# %%
import math

import torch

import luthier

model = luthier.load("smollm2-135m", precision="fp32", device="cpu")
texts = {
    "river": "They walked along the river and sat on the bank",
    "fished": "She fished from the muddy bank",
    "account": "He opened an account at the bank",
    "loan": "The loan came from a large bank",
}


def layers_of(text: str) -> list[torch.Tensor]:
    """The vector of the last token at the embedding and behind each layer."""
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    with torch.no_grad():
        read = model.module.base_model(input_ids=ids, output_hidden_states=True)
    return [hidden[0, -1] for hidden in read.hidden_states]


vectors = {name: layers_of(text) for name, text in texts.items()}


def alike(one: str, other: str, layer: int) -> float:
    """The cosine of `bank` in two texts."""
    return float(torch.cosine_similarity(vectors[one][layer], vectors[other][layer], dim=0))


rows = [(one, *[f"{alike(one, other, layer):.2f}" for other in texts]) for one in texts]
show(Table((f"layer {layer}", *texts), rows))

# %% tags=["claim"]
# Embeddings: 1 for all. At layer 8 a sense is nearer to itself than to the other one.
assert all(math.isclose(alike(one, other, 0), 1, abs_tol=1e-5) for one in texts for other in texts)
same = min(alike("river", "fished", 8), alike("account", "loan", 8))
across = max(alike(one, other, 8) for one in ("river", "fished") for other in ("account", "loan"))
assert same > across + 0.05

# %% [markdown]
# The embedding cannot know which bank is meant, because it sees one token. The layers mix in what stands before. So
# the vector of a token is not its meaning. It becomes a meaning on the way up.

# %% [markdown]
# ## Neighbours
#
# Which tokens are nearest? First by the embedding alone. Then each of them is read in the place of the token, and the
# vectors of a middle layer are compared.

# %%
from luthier.scratch.neighbours import neighbours

near = neighbours("an old oak", model, count=4)
show(Table(("token", "nearest by the embedding", "nearest in its place"), [
    (repr(one.piece), *(" ".join(repr(piece) for piece, _ in some) for some in (one.static, one.in_context)))
    for one in near
]))  # fmt: skip

# %% [markdown]
# ## Positions: switch them off
#
# An encoder lets each token see all others. Take a tiny one with random weights, and switch its positions off. Then
# give it the same tokens in another order.

# %%
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer, positions_in, rotations, turned


def encoder(positions: bool, vocabulary: int = 16) -> Transformer:
    """A small new encoder. Without positions their vectors are zero, and stay so."""
    torch.manual_seed(0)
    made = Transformer(
        Shape(vocabulary=vocabulary, family="encoder", width=32, layers=2, heads=4, positions="learned", window=16)
    )
    if not positions:
        made.position.weight.data.zero_()
        made.position.weight.requires_grad_(False)
    return made.eval()


sentence = torch.tensor([[3, 7, 1, 9, 4]])
order = torch.tensor([4, 2, 0, 1, 3])


def moved(positions: bool) -> float:
    """The largest difference of a token's output when the tokens are shuffled."""
    net = encoder(positions)
    with torch.no_grad():
        return float((net(sentence)[:, order] - net(sentence[:, order])).abs().max())


without_positions, with_positions = moved(False), moved(True)
print(f"a shuffle moves outputs by {without_positions:.1e} without positions, by {with_positions:.2f} with them")

# %% tags=["claim"]
# Without positions each token's output is the same in any order, but for rounding.
assert without_positions < 1e-4
assert with_positions > 10 * without_positions

# %% [markdown]
# Such a model sees a bag of tokens. `dog bites man` and `man bites dog` are the same to it. Now let both encoders learn
# something that lies in the order: does the letter 1 stand before the letter 2?

# %%
import random

from luthier.scratch.drawn import share_right, train_drawn
from luthier.scratch.objectives import IGNORE, Row

START, YES, NO = 10, 11, 12


def before(dice: random.Random) -> Row:
    """A start and six letters, with 1 and 2 among them; the start has the target: whether 1 comes first."""
    letters = [1, 2, *[dice.randrange(3, 10) for _ in range(4)]]
    dice.shuffle(letters)
    first = letters.index(1) < letters.index(2)
    return Row((START, *letters), (0,) * 7, (YES if first else NO, *[IGNORE] * 6))


right = {}
for positions in (False, True):
    net = encoder(positions)
    train_drawn(net, before, steps=400)
    right["with positions" if positions else "without positions"] = share_right(net, before)
show(bars("Share of right answers", right.items()))

# %% tags=["claim"]
# Without positions it is a guess, near 0.5. With them it is learned.
assert 0.35 < right["without positions"] < 0.65
assert right["with positions"] > 0.95

# %% [markdown]
# ## Fill a hole: rotary positions
#
# SmolLM2 adds no vector for a position. It turns queries and keys. A vector of width `K` has pairs of numbers: number
# `i` and number `i + K/2`. At a position each pair is turned by an angle: the position times the base to the power of
# `-2i/K`. Turning `(x, y)` by an angle `a` gives `(x cos a - y sin a, y cos a + x sin a)`. Write this.


# %% tags=["hole"]
def turned_at(vector: list[float], position: int, base: float) -> list[float]:
    """The vector as rotary positions turn it."""
    ### BEGIN SOLUTION
    half = len(vector) // 2
    left, right = [], []
    for pair in range(half):
        x, y = vector[pair], vector[pair + half]
        angle = position * base ** (-2 * pair / len(vector))
        left.append(x * math.cos(angle) - y * math.sin(angle))
        right.append(y * math.cos(angle) + x * math.sin(angle))
    return left + right
    ### END SOLUTION


# %% tags=["test"]
assert turned_at([3.0, 4.0], 0, 10000.0) == [3.0, 4.0], "turned_at: at position 0 nothing turns"
assert [round(one, 6) for one in turned_at([1.0, 0.0], 1, 10000.0)] == [0.540302, 0.841471], (
    "turned_at: the first pair turns by the position itself, in radians"
)
### BEGIN HIDDEN TESTS
assert [round(one, 6) for one in turned_at([0.0, 1.0, 0.0, 0.0], 5, 100.0)] == [0.0, 0.877583, 0.0, 0.479426], (
    "turned_at: pair i is number i and number i + K/2, and turns by the base to the power of -2i/K"
)
### END HIDDEN TESTS

# %% [markdown]
# What is this good for? Attention takes the product of a query and a key. After the turn this product depends on their
# distance alone. Here are one query and one key at several positions.

# %%
query, key = [1.0, 0.5, -0.3, 0.8], [0.2, 1.0, 0.7, -0.4]


def score(at: int, seen: int) -> float:
    """The product of the query at one position and the key at another."""
    return sum(q * k for q, k in zip(turned_at(query, at, 10000.0), turned_at(key, seen, 10000.0)))


pairs = [(5, 2), (105, 102), (5, 4), (105, 104)]
show(Table(("query and key at", "distance", "product"), [(f"{a}, {b}", a - b, f"{score(a, b):.4f}") for a, b in pairs]))

# %% tags=["claim"]
# The same distance gives the same product. And the hole turns as luthier's transformer does.
assert math.isclose(score(5, 2), score(105, 102), abs_tol=1e-9)
assert not math.isclose(score(5, 2), score(5, 4), abs_tol=0.01)
shape = Shape(vocabulary=16, width=4, heads=1, layers=1)
turn = rotations(positions_in(torch.zeros(1, 8, dtype=torch.long)), shape)
theirs = turned(torch.tensor(query).expand(1, 1, 8, 4), turn)[0, 0, 5].tolist()
assert all(math.isclose(a, b, abs_tol=1e-4) for a, b in zip(turned_at(query, 5, 10000.0), theirs))

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.9/angle", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.9/table", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.9/order", my_choice)

# %% [markdown]
# ## What this does not show
#
# A decoder without positions is not quite a bag. Its mask lets a token see only what stands before it, and that gives
# the order away. The cosine is one way to compare vectors. It says that two are alike, and not in what. And four texts
# with one word show a possibility, not a law.
