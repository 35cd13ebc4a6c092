# %% [markdown]
# # 2.12 Additive PEFT: soft prompts
#
# A prompt is made of words, and each word becomes a vector. A soft prompt leaves the words out: it is a few vectors in
# front of the input, and they are learned. The model itself stays frozen. In this lesson you learn such vectors, and
# ask what they say.

# %% [markdown]
# ## Predict
#
# SmolLM2-135M turns each token into a vector of 576 numbers. A soft prompt has 16 vectors. How many numbers train, of
# 135 million?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"integer"}
predict("2.12/numbers", my_guess)
# 16 vectors of 576 numbers; the model has 135 million.

# %% [markdown]
# ## Run: count
#
# The planner counts for real models.

# %%
import luthier


def trainable(model: str, vectors: int) -> int:
    """Numbers that train in a soft prompt of so many vectors."""
    arm = f"soft-{vectors}"
    return luthier.plan(model, arms=(arm,), tokens=256, batch=4, device="a100").arms[arm].trainable


counted = [
    (name, f"{trainable(name, 16):,}", f"{trainable(name, 64):,}")
    for name in ("smollm2-135m", "llama-3.2-1b", "llama-3.1-8b")
]
show(Table(("model", "16 vectors", "64 vectors"), counted))

# %% tags=["claim"]
# 16 vectors of 576 numbers are 9,216.
assert trainable("smollm2-135m", 16) == 16 * 576 == 9_216

# %% [markdown]
# ## A model that is told what to do
#
# Here is a tiny model. It reads letters behind one of three words: `ONE`, `TWO`, `THREE`. The word says how many
# places on in the alphabet it is to go. The alphabet is a circle of 12 letters.

# %%
import random
from copy import deepcopy

import torch
from torch import nn

from luthier.scratch.drawn import share_right, train_drawn
from luthier.scratch.objectives import IGNORE, Row
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

LETTERS, WORDS, EMPTY = 12, {1: 12, 2: 13, 3: 14}, 15
NAMES = [*"abcdefghijkl", "ONE", "TWO", "THREE", "-"]


def told(dice: random.Random) -> Row:
    """A word, then eight letters; each letter has the one so many places on as its target."""
    places = dice.choice(list(WORDS))
    ids = [dice.randrange(LETTERS) for _ in range(8)]
    return Row((WORDS[places], *ids), (0,) * 9, (IGNORE, *((one + places) % LETTERS for one in ids)))


torch.manual_seed(0)
model = Transformer(Shape(vocabulary=16, width=32, layers=2, heads=4))
train_drawn(model, told, steps=300, rows=16)
obeys = share_right(model, told)
print(f"told by a word, it is right at {obeys:.0%} of the letters")

# %% tags=["claim"]
# The model obeys its three words; its alphabet has 12 letters.
assert obeys > 0.95
assert LETTERS == 12

# %% [markdown]
# ## Now without the word
#
# We take the word away and freeze the model. In front of the letters stand some vectors. They begin as the vectors of
# random letters, and only they learn: by examples, from the same training loop as everything else.

# %%


def untold(places: int, vectors: int):
    """Rows whose first positions are empty; the letters are to go so many places on."""

    def draw(dice: random.Random) -> Row:
        ids = [dice.randrange(LETTERS) for _ in range(8)]
        targets = (*[IGNORE] * vectors, *((one + places) % LETTERS for one in ids))
        return Row((*[EMPTY] * vectors, *ids), (0,) * (vectors + 8), targets)

    return draw


def with_prompt(vectors: int) -> Transformer:
    """The frozen model with vectors of its own at the first positions."""
    frozen = deepcopy(model)
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    begin = random.Random(1).choices(range(LETTERS), k=vectors)
    frozen.prompt = nn.Parameter(model.embedding.weight[begin].detach().clone())
    frozen.embedding.register_forward_hook(
        lambda layer, inputs, out: torch.cat([frozen.prompt.expand(len(out), -1, -1), out[:, vectors:]], 1)
    )
    return frozen


def learn(places: int, vectors: int, steps: int = 200) -> tuple[Transformer, float, float]:
    """The model with its learned prompt, and the share of right letters before and after."""
    made, rows = with_prompt(vectors), untold(places, vectors)
    before = share_right(made, rows)
    train_drawn(made, rows, steps=steps, rows=16, learning_rate=3e-2)
    return made, before, share_right(made, rows)


two, two_before, two_after = learn(2, 1)
print(f"two places on, one vector: {two_before:.0%} right before, {two_after:.0%} after")

# %% [markdown]
# One vector is enough. Nobody wrote the word `TWO`, and the model does what `TWO` says.

# %% tags=["claim"]
# Below 0.6 before, more than 0.95 after. 32 numbers have learned.
assert two_before < 0.6 and two_after > 0.95
assert two.prompt.numel() == 32

# %% [markdown]
# ## What does it say?
#
# Perhaps the vector has become the word `TWO`. Let us ask which tokens point most in the same direction, and how long
# the vector is.

# %%


def nearest(prompt: torch.Tensor) -> list[tuple[str, float]]:
    """For each vector the token whose own vector points most in its direction, and the cosine between both."""
    table = nn.functional.normalize(model.embedding.weight.detach(), dim=-1)
    cosines = nn.functional.normalize(prompt.detach(), dim=-1) @ table.T
    return [(NAMES[int(row.argmax())], float(row.max())) for row in cosines]


longest_word = float(model.embedding.weight.norm(dim=-1).max())
show(Table(("vector", "nearest token", "cosine", "length"), [
    (at, token, f"{cosine:.2f}", f"{float(vector.norm()):.2f}")
    for at, ((token, cosine), vector) in enumerate(zip(nearest(two.prompt), two.prompt))
]))  # fmt: skip
print(f"the longest vector of any token has a length of {longest_word:.2f}")

# %% [markdown]
# It is near a token, but it is none. A token's vector would have a cosine of 1 with itself, and this vector is longer
# than that of any token. No keyboard can type it.

# %% tags=["claim"]
# The vector is no token: its cosine with the nearest is below 1, and it is longer than all of them.
assert nearest(two.prompt)[0][1] < 0.97
assert float(two.prompt.norm()) > longest_word

# %% [markdown]
# ## More vectors, another task
#
# With more vectors each is freer. Their nearest tokens together look like nonsense. And here is a task for which the
# model has no word: five places on.

# %%
several, _, known = learn(2, 8)
print(f"two places on, 8 vectors: {known:.0%} right")
print("their nearest tokens:", " ".join(token for token, _ in nearest(several.prompt)))
_, _, five = learn(5, 1)
_, _, five_of_eight = learn(5, 8)
told_of = [
    ("two places on, one vector", two_after),
    ("five places on, one vector", five),
    ("five places on, 8 vectors", five_of_eight),
]
show(bars("Share of right letters", told_of))

# %% [markdown]
# For two places on, one vector was enough. For five places on it is not: the model never learned that. More vectors
# bend the frozen model further. A soft prompt chooses well among what a model can do. It teaches new things slowly.

# %% tags=["claim"]
# One vector fails at the new task. 8 vectors do better, and 8 do a known task as well as one.
assert five < 0.5 < two_after
assert five_of_eight > five
assert known > 0.95

# %% [markdown]
# ## Turn a dial
#
# Find out how many vectors another task needs. One, two and three places on are known, all others are new.

# %% tags=["dials"]
vectors = 4  # @param {type:"slider", min:1, max:16, step:1}
places = 7  # @param {type:"slider", min:1, max:11, step:1}

# %%
_, _, reached = learn(places, vectors)
print(f"{places} places on, {vectors} vectors: {reached:.0%} right")

# %% [markdown]
# ## Fill a hole
#
# A soft prompt takes room. It stands in the context window like any prompt. Return how many tokens are left for the
# input, when the answer needs some as well. There is never less than no room.


# %% tags=["hole"]
def room_for_input(window: int, vectors: int, answer: int) -> int:
    """Tokens of the input that still fit beside a soft prompt and the answer."""
    ### BEGIN SOLUTION
    return max(0, window - vectors - answer)
    ### END SOLUTION


# %% tags=["test"]
assert room_for_input(512, 16, 80) == 416, "room_for_input: vectors and answer both take room in the window"
### BEGIN HIDDEN TESTS
assert room_for_input(100, 64, 80) == 0, "room_for_input: there is never less than no room"
assert room_for_input(2048, 100, 0) == 1948, "room_for_input: each vector takes the place of one token"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.12/numbers", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.12/cache", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.12/sentence", my_choice)

# %% [markdown]
# ## What this does not show
#
# The model is tiny, and it knows three tasks. A large one knows so much that a soft prompt finds more to choose from.
# In very large models soft prompts came close to full fine-tuning [Lester et al. 2021]. They also need a learning rate
# of their own, far higher than usual. A study says how close they come in your task.
