# %% [markdown]
# # 2.4 Supervised fine-tuning
#
# A model learns from pairs: a prompt, and the answer that is wanted. It reads both, and is corrected on the answer
# alone. In this lesson you look at which token is corrected. Then you find a mistake that makes a loss look wonderful.

# %% [markdown]
# ## Predict
#
# The answers of a task differ in length. A program fills each up to 512 positions with a padding token. How many
# percent of all positions are padding, for summaries of short dialogues?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, Tokens, bars, show

my_guess = None  # @param {type:"number"}
predict("2.4/padding", my_guess)
# The answers are filled up to 512 positions.

# %% [markdown]
# ## Run: what is read, and what is corrected
#
# Here is one training row as the model gets it. The prompt is read. The coloured part is the answer. Only there is the
# model told what it should have said.

# %%
from tokenizers import Tokenizer

import luthier
from luthier.planning.read import folder_of
from luthier.planning.tokenizer import LightTokenizer

task = luthier.load_task("dialogues")
folder = folder_of("smollm2-135m")
renderer = luthier.Renderer(LightTokenizer(folder), "decoder", 8192)
example = min(task.train, key=lambda one: len(one.input))
prompt = renderer.prompt(example, task.template(), train=True)
ids = [*prompt.prompt_ids, *prompt.target_ids]
corrected = [0.0] * len(prompt.prompt_ids) + [1.0] * len(prompt.target_ids)
names = Tokenizer.from_file(str(folder / "tokenizer.json"))
pieces = [names.decode([one], skip_special_tokens=False) for one in ids]
show(Tokens(pieces, corrected))
print(f"{len(prompt.prompt_ids)} tokens are read, {len(prompt.target_ids)} are corrected")
print(f"the last one that is corrected: {pieces[-1]!r}")

# %% [markdown]
# The last corrected token is the end token. A model that never learns it does not know when to stop.

# %% tags=["claim"]
# The prompt is longer than the answer, and the answer ends with the end token, which stands there once.
assert len(prompt.prompt_ids) > len(prompt.target_ids)
assert prompt.target_ids[-1] == renderer.end_id
assert prompt.target_ids.count(renderer.end_id) == 1

# %% [markdown]
# ## Turn a dial: fill up the rows
#
# Rows of one batch must be equally long, so short ones are filled up. A padding token is no answer. Nobody wants to
# learn it. Watch how much of a batch is padding.

# %% tags=["dials"]
row = 512  # @param {type:"slider", min:128, max:1024, step:64}

# %%
lengths = [len(renderer.target_ids(one.references[0])) for one in task.train]


def padding(row: int) -> float:
    """The share of positions that are padding, when each answer is filled up to `row` positions."""
    return 1 - sum(min(length, row) for length in lengths) / (row * len(lengths))


show(bars("Padding, in percent", [(f"{n} positions", 100 * padding(n)) for n in sorted({128, row, 1024})], "%"))
show(Table(("answers", "tokens"), [("shortest", min(lengths)), ("longest", max(lengths)), ("all", sum(lengths))]))

# %% [markdown]
# About nine of ten positions are padding. If they count, the loss is nearly the loss of padding.

# %% tags=["claim"]
# At 512 positions 85 to 95 % are padding.
assert 0.85 < padding(512) < 0.95
assert padding(128) < padding(512) < padding(1024)

# %% [markdown]
# ## The mistake
#
# In PyTorch a position with the label -100 is left out. A well-known notebook fills labels up with `0`, the padding
# token's own number. So each padding position counts as an answer.
#
# Let us make this mistake. A tiny model reads six letters and writes them in reverse, with an end token. Its labels are
# filled up to 60 positions. We train it and print the loss, once as the notebook does.

# %%
import random

import torch

from luthier.scratch.drawn import share_right, train_drawn
from luthier.scratch.objectives import IGNORE, Row
from luthier.scratch.rows import loss_of
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

PAD, START, END, POSITIONS = 0, 11, 12, 60


def reverse(dice: random.Random, fill: int) -> Row:
    """Six letters for the encoder, the same in reverse for the decoder; the rest has `fill` as its target."""
    letters = [dice.randrange(1, 11) for _ in range(6)]
    said = [*letters[::-1], END]
    rest = POSITIONS - len(said)
    read = (START, *said, *[PAD] * rest)[:POSITIONS]
    return Row(read, (0,) * POSITIONS, (*said, *[fill] * rest), source=tuple(letters))


def counted(dice: random.Random) -> Row:
    """Padding counts as an answer."""
    return reverse(dice, PAD)


def masked(dice: random.Random) -> Row:
    """Padding is left out."""
    return reverse(dice, IGNORE)


def trained(draw, steps: int = 80) -> Transformer:
    """A new tiny model that learned from the rows of `draw`."""
    torch.manual_seed(0)
    shape = Shape(vocabulary=16, family="encoder-decoder", width=32, layers=1, heads=4, positions="learned", window=64)
    model = Transformer(shape)
    train_drawn(model, draw, steps=steps, rows=16)
    return model


def mean_loss(model: Transformer, draw) -> float:
    """The mean loss of new rows, in nats a counted position."""
    dice = random.Random(5)
    with torch.no_grad():
        total, positions, _ = loss_of(model.eval(), [draw(dice) for _ in range(64)])
    return float(total) / positions


careless = trained(counted)
printed, honest = mean_loss(careless, counted), mean_loss(careless, masked)
right = share_right(careless, masked)
print(f"the loss that is printed, padding counted: {printed:.2f}")
print(f"the loss of the answers alone:            {honest:.2f}")
print(f"tokens of the answers that are right:     {right:.0%}")

# %% [markdown]
# It is one model, and nothing was changed between the two lines. By the printed loss the task looks nearly learned. By
# the loss of the answers it has hardly begun.

# %% tags=["claim"]
# The printed loss is less than a quarter of the honest one, and most tokens of the answers are wrong.
assert printed < honest / 4
assert printed < 0.4 and honest > 1
assert right < 0.6

# %% [markdown]
# ## Padding takes part in the learning too
#
# Now the same number of steps, with padding left out. Both models have seen the same letters.

# %%
careful = trained(masked)
print(f"padding counted: {right:.0%} of the answers' tokens are right")
print(
    f"padding left out: {share_right(careful, masked):.0%} are right, with a loss of {mean_loss(careful, masked):.2f}"
)

# %% [markdown]
# The careful model has learned more in the same steps, and its printed loss is the higher one. Whoever compares the two
# printed losses throws the better model away.

# %% tags=["claim"]
# The careful model has more right. Its printed loss is its honest loss, and that is higher than the careless print.
assert share_right(careful, masked) > right
assert mean_loss(careful, masked) > printed

# %% [markdown]
# ## Fill a hole
#
# Write the labels of a row for a model that reads prompt and answer in one sequence. Each position has the label of its
# own token, as transformers wants it. What is not to be learned has -100. Fill up to `row` positions, or cut there.


# %% tags=["hole"]
def labels(prompt_ids: list[int], target_ids: list[int], row: int) -> list[int]:
    """One label for each of `row` positions: the answer's ids, and -100 for prompt and padding."""
    ### BEGIN SOLUTION
    made = [-100] * len(prompt_ids) + list(target_ids)
    return (made + [-100] * (row - len(made)))[:row]
    ### END SOLUTION


# %% tags=["test"]
assert labels([5, 6, 7], [8, 2], 5) == [-100, -100, -100, 8, 2], "labels: the prompt is read and not corrected"
assert labels([5], [8, 2], 5) == [-100, 8, 2, -100, -100], "labels: padding has the label -100"
### BEGIN HIDDEN TESTS
assert labels([5], [0, 8, 2], 5) == [-100, 0, 8, 2, -100], "labels: a 0 inside the answer is a token and is learned"
assert labels([5, 6], [8, 9, 2], 4) == [-100, -100, 8, 9], "labels: a row that is too long is cut"
### END HIDDEN TESTS

# %% tags=["claim"]
# -100 is what PyTorch leaves out, and luthier uses the same.
assert IGNORE == -100 == torch.nn.CrossEntropyLoss().ignore_index

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.4/printed", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.4/mean", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.4/low", my_choice)

# %% [markdown]
# ## What this does not show
#
# A low honest loss is no good summary either. It says that the model finds the words of the references likely. Whether
# it writes good ones is seen in its answers. Some train on the prompt too, on purpose. And the tiny model learns
# padding in a few steps. A large one does so even faster.
