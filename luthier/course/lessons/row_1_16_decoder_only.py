# %% [markdown]
# # 1.16 Decoder-only models
#
# A decoder learns one thing: to say the next token. It learns it at every place of a text at once. In this lesson you
# train a tiny decoder, once as it should be and once with a famous bug. The bug makes the loss beautiful.

# %% [markdown]
# ## Predict
#
# A tiny decoder reads the letters of dialogues for some seconds. At each place it has to say the next letter. The loss
# is measured in nats. A guess among all 256 values of a byte costs 5.5 of them. What is the decoder's loss at the end?
# Another decoder has a bug: it has to say the letter that it has just read. What is its loss?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_right = None  # @param {type:"number"}
my_guess_bug = None  # @param {type:"number"}
predict("1.16/loss-right", my_guess_right)
predict("1.16/loss-bug", my_guess_bug)

# %% [markdown]
# ## Run: what stands under what
#
# Above stands what the model reads, below what it has to say. The labels are the same letters, moved by one place. At
# the last place there is nothing to say.

# %%
import math

IGNORE = -100  # a place that does not count


def moved(ids: list[int], by: int) -> list[int]:
    """The labels of a row: at each place the token that stands `by` places further; IGNORE where there is none."""
    return [*ids[by:], *[IGNORE] * by]


def as_letters(ids: list[int]) -> list[str]:
    return ["·" if one == IGNORE else chr(one) for one in ids]


row = list(b"Anna: Good m")
lines = [("read", *as_letters(row)), *((f"moved by {by}", *as_letters(moved(row, by))) for by in (1, 0, 2))]
show(Table(("", *map(str, range(1, len(row) + 1))), lines))

# %% [markdown]
# A row of 12 letters gives 11 predictions. With labels moved by zero, each letter has itself as its label. A decoder
# sees the letter that it reads. So this task is to copy. Libraries differ here. Some move the labels themselves, others
# expect moved labels. If you move them twice, or not at all, nothing warns you.

# %% tags=["claim"]
# A row of 12 letters has 11 predictions. A guess among 256 values costs 5.5 nats.
assert sum(label != IGNORE for label in moved(row, 1)) == len(row) - 1 == 11
assert len(row) == 12
assert round(math.log(256), 1) == 5.5

# %% [markdown]
# ## Turn a dial: train it
#
# The text is the dialogues that ship with luthier. The first dial says by how many places the labels are moved.

# %% tags=["dials"]
labels_moved_by = 1  # @param {type:"slider", min:0, max:3, step:1}
steps = 200  # @param {type:"slider", min:50, max:600, step:50}

# %%
import random
from pathlib import Path

import torch

import luthier
from luthier.scratch.drawn import train_drawn
from luthier.scratch.objectives import Row
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

shipped = luthier.load_task("dialogues")
text = "\n\n".join(example.input for example in shipped.train).encode()
held_out = "\n\n".join(example.input for example in shipped.dev).encode()
LENGTH = 64


def trained(by: int, steps: int = 200) -> tuple[Transformer, list[float]]:
    """A tiny decoder that learned the letters `by` places further, and its losses."""

    def draw(dice: random.Random) -> Row:
        start = dice.randrange(len(text) - LENGTH)
        ids = list(text[start : start + LENGTH])
        return Row(tuple(ids), (0,) * LENGTH, tuple(moved(ids, by)))

    torch.manual_seed(0)
    module = Transformer(Shape(vocabulary=256, width=64, layers=2, heads=4))
    return module, train_drawn(module, draw, steps=steps, rows=16)


my_model, my_losses = trained(labels_moved_by, steps)
every = max(1, len(my_losses) // 8)
show(bars("Loss by step", [(f"step {at}", my_losses[at]) for at in range(0, len(my_losses), every)], "nats"))

# %% [markdown]
# ## The bug beside the right labels

# %%
right, right_losses = trained(1)
bug, bug_losses = trained(0)
last_right, last_bug = (sum(losses[-10:]) / 10 for losses in (right_losses, bug_losses))
print(f"the last loss: {last_right:.2f} nats with labels moved by one, {last_bug:.3f} with labels not moved")

# %% [markdown]
# The one with the bug has a loss near zero. In a real project somebody may be glad now. Let both write.

# %%
from tokenizers import Tokenizer, decoders, models

from luthier.model.model import Model


def written(module: Transformer, beginning: str, limit: int = 40) -> str:
    """How a model of letters goes on with a text, through the one generator."""
    letters = Tokenizer(models.BPE({chr(0x100 + at): at for at in range(256)}, []))
    letters.decoder = decoders.Fuse()
    model = Model(
        name="tiny", module=module, tokenizer=letters, family="decoder", window=512, base_sha256="",
        end_ids=frozenset(), folder=Path(),
    )  # fmt: skip
    asked = [luthier.Request("0", tuple(beginning.encode()), limit, luthier.Generation(temperature=0.7), ends=False)]
    answer = luthier.fold(luthier.generate(model, asked), letters)[0]
    return bytes(answer.tokens).decode(errors="replace")


beginning = "Anna: Good mor"
goes_on, stuck = written(right, beginning), written(bug, beginning)
print("moved by one:", repr(goes_on))
print("not moved:   ", repr(stuck))

# %% [markdown]
# One writes letters that look like words. The other repeats the last letter again and again: it has learned to copy.
# Now ask both for the next letter of dialogues that neither has read.

# %%


@torch.no_grad()
def loss_of_next(module: Transformer) -> float:
    """Nats for the next letter, on held-out dialogues."""
    ids = torch.tensor([list(held_out[at : at + LENGTH]) for at in range(0, 64 * LENGTH, LENGTH)])
    logits = module.eval()(ids)[:, :-1]
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))


next_right, next_bug = loss_of_next(right), loss_of_next(bug)
show(bars("Loss of the next letter, on new dialogues", [("moved by one", next_right), ("not moved", next_bug)], "nats"))

# %% tags=["claim"]
# The bug's training loss is below 0.1 and the right one's above 1.5. On new text it is the other way round, by far.
assert last_bug < 0.1 and last_right > 1.5
assert next_right < 3.5 < 5 < next_bug
# And what the bug writes is one letter.
assert len(set(stuck)) <= 3
assert len(set(goes_on)) > 5

# %% [markdown]
# The decoder with the right labels needs less than 3.5 nats on new dialogues. The one with the bug needs more than 5. A
# loss near zero says that the task was easy. Before you are glad, ask what the task was.

# %% [markdown]
# ## Fill a hole
#
# Make the labels of a padded row. `ids` is a text and ends with its end token. The row is padded to `length`. The label
# of a place is the next token of the text. Where there is no next token, the label is `-100`: such a place does not
# count.


# %% tags=["hole"]
def labels_of(ids: list[int], length: int) -> list[int]:
    """Labels of a row that is padded on the right to `length` places."""
    ### BEGIN SOLUTION
    labels = ids[1:]
    return labels + [-100] * (length - len(labels))
    ### END SOLUTION


# %% tags=["test"]
assert labels_of([5, 6, 7], 3) == [6, 7, -100], "labels_of: at each place stands the next token, and none at the last"
### BEGIN HIDDEN TESTS
assert labels_of([5, 6, 7], 5) == [6, 7, -100, -100, -100], "labels_of: padding does not count, so it has -100"
assert labels_of([0, 0, 9], 4) == [0, 9, -100, -100], "labels_of: a token of the text counts, also the token 0"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.16/predictions", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.16/guess", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.16/too-good", my_choice)

# %% [markdown]
# ## What this does not show
#
# A tiny model of letters does not show what large decoders are used for: chat, writing, code. They are trained in the
# same way, on tokens. And the bug here is a plain one. Labels moved by two, or padding that counts, change the loss
# less and are harder to see.
