# %% [markdown]
# # 1.20 Pretraining for domain adaptation
#
# A model has read one kind of text, and you need it for another kind. Often it helps to let it read more: plain text of
# your domain, with nothing to answer. In this lesson a tiny model reads manuals first, and then dialogues. You measure
# what it gains, what it loses, and in which unit.

# %% [markdown]
# ## Predict
#
# A tiny model has read the manuals of Python. Then it reads dialogues for a few seconds. Beside it a new model reads
# the same dialogues for as long. Which one is better on new dialogues, `"manuals first"` or `"new"`? And is the first
# one still as good on manuals, `"yes"` or `"no"`?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_better = ""  # @param ["", "manuals first", "new"]
my_guess_still_as_good = ""  # @param ["", "yes", "no"]
predict("1.20/better", my_guess_better)
predict("1.20/still-as-good", my_guess_still_as_good)

# %% [markdown]
# ## Run: two kinds of text
#
# The manuals are the docstrings of Python's own modules, which every machine has. The dialogues ship with luthier. Some
# of both are held out: no model reads them in training.

# %%
import sysconfig
from pathlib import Path

import luthier
from luthier.scratch.corpus import SHORTEST, Document, docstrings_of

modules = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-z]*.py"))[::3]
texts = [Document(path.name, "python", text) for path in modules if len(text := docstrings_of(path)) > SHORTEST]
new_manuals, manuals = [Document(one.name, one.group, one.text[:3000]) for one in texts[:6]], texts[6:]
task = luthier.load_task("dialogues")
dialogues, new_dialogues = (
    [Document(example.id, "dialogues", example.input) for example in some] for some in (task.train, task.dev[:24])
)
print(manuals[0].text[:200])
print("...")
print(dialogues[0].text[:200])

# %% [markdown]
# ## Read manuals, then dialogues
#
# The model reads bytes, so each letter is a token. How well it foresees a text is measured in bits a byte: how many
# bits each byte of the text still costs when the model helps. A byte without any help costs 8 bits. Less is better.

# %%
import copy
import random

import torch

from luthier.scratch.drawn import train_drawn
from luthier.scratch.held_out import HeldOut
from luthier.scratch.objectives import Row
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

END, LENGTH = 256, 64


def as_bytes(text: str) -> list[int]:
    return list(text.encode())


def new_model(vocabulary: int = 257) -> Transformer:
    torch.manual_seed(0)
    return Transformer(Shape(vocabulary=vocabulary, width=64, layers=2, heads=4))


def reads(model: Transformer, documents: list[Document], steps: int, encode=as_bytes, end: int = END) -> Transformer:
    """A copy of the model that has read some more text: 16 pieces of 64 tokens a step."""
    ids = [one for document in documents for one in (end, *encode(document.text))]

    def draw(dice: random.Random) -> Row:
        at = dice.randrange(len(ids) - LENGTH)
        return Row(tuple(ids[at : at + LENGTH]), (0,) * LENGTH, tuple(ids[at + 1 : at + LENGTH + 1]))

    more = copy.deepcopy(model)
    train_drawn(more, draw, steps=steps, rows=16)
    return more.eval()


held_manuals, held_dialogues = (HeldOut(some, as_bytes, END, 256) for some in (new_manuals, new_dialogues))
base = reads(new_model(), manuals, steps=300)

# %% tags=["dials"]
steps = 80  # @param {type:"slider", min:20, max:300, step:20}

# %%
models = {
    "manuals alone": base,
    "manuals, then dialogues": reads(base, dialogues, steps),
    "dialogues alone": reads(new_model(), dialogues, steps),
}
bits = {name: (held_manuals.bits(one), held_dialogues.bits(one)) for name, one in models.items()}
rows = [(name, f"{on_manuals:.2f}", f"{on_dialogues:.2f}") for name, (on_manuals, on_dialogues) in bits.items()]
show(Table(("it has read", "new manuals", "new dialogues"), rows))
show(bars("Bits a byte of new dialogues", [(name, both[1]) for name, both in bits.items()], "bits"))

# %% [markdown]
# Reading manuals first helps with dialogues. English words are English words in both. So the second reading starts from
# something. But look at the other column. The model has become worse at manuals. What it no longer reads, it forgets.
# Lesson 2.1 is about that.

# %% tags=["claim"]
# With a few steps: manuals first is better on dialogues than a new model, and than before. On manuals it got worse.
fixed = {"both": reads(base, dialogues, 80), "new": reads(new_model(), dialogues, 80)}
assert held_dialogues.bits(fixed["both"]) < held_dialogues.bits(fixed["new"]) - 0.2
assert held_dialogues.bits(fixed["both"]) < held_dialogues.bits(base) - 0.2
assert held_manuals.bits(fixed["both"]) > held_manuals.bits(base) + 0.2
# All need fewer than 8 bits a byte.
assert all(held_dialogues.bits(one) < 8 for one in fixed.values())

# %% [markdown]
# ## Perplexity, and a trap
#
# Many papers give perplexity. A perplexity of 20 means: the model is as unsure as somebody who guesses among 20 equally
# likely tokens. But which tokens? Here is a second new model. It reads the same dialogues for as many steps. Its tokens
# are pieces of words, 512 kinds of them.

# %%
import math

from luthier.scratch.vocabulary import vocabulary

pieces = vocabulary("bpe", 512, [document.text for document in dialogues], Path("tokenizer"))


def as_pieces(text: str) -> list[int]:
    return pieces.tokenizer.encode(text).ids


def perplexity(held: HeldOut, encode, model: Transformer) -> float:
    """How unsure the model is at each of its own tokens, on new dialogues."""
    tokens = sum(len(encode(document.text)) + 1 for document in new_dialogues)
    return math.exp(sum(held.nats(model)) / tokens)


of_pieces = reads(new_model(pieces.size), dialogues, 80, as_pieces, pieces.end)
held_pieces = HeldOut(new_dialogues, as_pieces, pieces.end, 256)
measured = {
    "bytes": (perplexity(held_dialogues, as_bytes, fixed["new"]), held_dialogues.bits(fixed["new"])),
    "pieces of words": (perplexity(held_pieces, as_pieces, of_pieces), held_pieces.bits(of_pieces)),
}
rows = [(name, f"{unsure:.0f}", f"{cost:.2f}") for name, (unsure, cost) in measured.items()]
show(Table(("its tokens", "perplexity", "bits a byte"), rows))

# %% [markdown]
# By perplexity the second model looks several times worse. By bits a byte it is the better one. Both numbers are right.
# A piece of a word is longer than a byte, so there is more to be unsure about at each step, and there are fewer steps.
# Perplexities of two tokenizers must not be compared. Bits a byte may.

# %% tags=["claim"]
# Perplexity is more than 3 times as high for pieces of words. Bits a byte are lower.
assert measured["pieces of words"][0] > 3 * measured["bytes"][0]
assert measured["pieces of words"][1] < measured["bytes"][1]
# A perplexity of 20 is that of a guess among 20. The tokenizer has 512 tokens.
assert round(math.exp(-math.log(1 / 20))) == 20
assert pieces.size == 512

# %% [markdown]
# ## Fill a hole
#
# Turn a loss into bits a byte. The loss is the mean over tokens, in nats. One bit is `ln 2` nats.


# %% tags=["hole"]
def bits_a_byte(loss: float, tokens: int, text_bytes: int) -> float:
    """Bits a byte of a text of `tokens` tokens and `text_bytes` bytes."""
    ### BEGIN SOLUTION
    return loss * tokens / math.log(2) / text_bytes
    ### END SOLUTION


# %% tags=["test"]
assert bits_a_byte(math.log(2), 100, 100) == 1.0, "bits_a_byte: ln 2 nats are one bit"
### BEGIN HIDDEN TESTS
assert abs(bits_a_byte(math.log(2), 100, 400) - 0.25) < 1e-9, (
    "bits_a_byte: share the sum over all tokens among the bytes"
)
assert abs(bits_a_byte(3.0, 250, 1000) - 1.0820212806667225) < 1e-9, (
    "bits_a_byte: share the sum over all tokens among the bytes"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.20/bits", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.20/perplexity", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.20/compare", my_choice)

# %% [markdown]
# ## What this does not show
#
# A tiny model that has read for seconds gains more from any reading than a large one that has read for months. Bits a
# byte say how well a text is foreseen, and not how well a task is done. For that you need a test of the task. And real
# domain texts may hold what nobody should learn, such as names of patients.
