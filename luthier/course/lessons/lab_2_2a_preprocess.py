# %% [markdown]
# # Lab 2.2a Preprocessing
#
# A training reads tokens, and learns from some of them. Here you turn a dialogue and its summary into what the
# training gets. You write the labels yourself: which position has a target, and which has none.

# %% [markdown]
# ## Predict
#
# A prompt of 200 tokens stands before a summary of 30 tokens. The model learns to write the summary. From how many
# positions does it learn?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, Tokens, bars, show

my_guess = None  # @param {type:"integer"}
predict("lab2.2a/supervised", my_guess)
# A prompt of 200 and a summary of 30 tokens.

# %% [markdown]
# ## Run: one row, painted
#
# luthier renders a dialogue as the model will see it: the model's own chat template, an instruction, the dialogue, and
# the summary. Dark tokens are learned. The rest is only read.

# %%
import luthier
from luthier.model.sources import resolve
from luthier.planning.tokenizer import LightTokenizer
from luthier.task.prompt import Renderer

task = luthier.load_task("dialogues")
tokenizer = LightTokenizer(resolve("smollm2-135m"))
renderer = Renderer(tokenizer, "decoder", 8192, day="2026-01-01")
row = min(task.train, key=lambda one: len(one.input))
prompt = renderer.prompt(row, task.template("plain"), train=True)
every = [*prompt.prompt_ids, *prompt.target_ids]
learned = [0.0] * len(prompt.prompt_ids) + [1.0] * len(prompt.target_ids)
pieces = [(tokenizer.convert_ids_to_tokens(one) or "?").replace("Ġ", " ").replace("Ċ", "\n") for one in every]
show(Tokens(pieces, learned))
print(f"{len(prompt.prompt_ids)} tokens are read, {len(prompt.target_ids)} are learned")
print("the last learned token:", pieces[-1])

# %% [markdown]
# The last learned token is the end token. So a summary has one target more than it has tokens. Without the end token a
# model never learns to stop, and each answer runs to its limit.

# %% tags=["claim"]
assert prompt.target_ids[-1] == renderer.end_id
assert renderer.end_id not in prompt.target_ids[:-1]

# %% [markdown]
# ## Turn a dial: how much of a batch is learned from
#
# Rows of a batch are padded to one length. A position of padding has no target. Many notebooks pad all rows to a fixed
# length, such as 512. Turn it.

# %% tags=["dials"]
padded_to = 512  # @param {type:"slider", min:256, max:2048, step:64}

# %%
rows = [renderer.prompt(one, task.template("plain"), train=True) for one in task.train]
reads = sum(len(one.prompt_ids) for one in rows)
targets = sum(len(one.target_ids) for one in rows)
empty = max(0, len(rows) * padded_to - reads - targets)
show(bars("Positions of the training rows", [("read", reads), ("learned", targets), ("padding", empty)]))
share = targets / (reads + targets)
padded = targets / (reads + targets + empty)
print(f"{share:.1%} of the tokens are learned from; with padding to {padded_to}, {padded:.1%}")

# %% tags=["claim"]
# Less than a quarter (0.25) of the tokens have a target. Without end tokens there would be 144 fewer.
assert 0.02 < share < 0.25
assert targets - sum(len(one.target_ids) - 1 for one in rows) == 144

# %% [markdown]
# ## Where the target stands
#
# A decoder says the next token. So the target of a position is the token behind it. Libraries of Hugging Face shift by
# themselves: there the label stands at the token's own place, and `-100` says that there is none.

# %%
small_prompt, small_target = [11, 12, 13], [21, 22, 2]  # 2 is the end token
ids = small_prompt + small_target
labels = [-100] * len(small_prompt) + small_target
show(Table(("what", *[str(place) for place in range(6)]), [("ids", *ids), ("labels", *labels)]))

# %% [markdown]
# ## Fill a hole
#
# Write `labels`, for a batch of several rows. Each row is a pair of prompt and target. The target has no end token yet.
# Put the end token behind it. If the row is longer than `length`, cut it at the end. Then pad with `-100` up to
# `length`. The prompt has no label.


# %% tags=["hole"]
def labels_of(rows: list[tuple[list[int], list[int]]], end: int, length: int) -> list[list[int]]:
    """The labels of each row, all `length` long; -100 where there is no target."""
    ### BEGIN SOLUTION
    found = []
    for prompt_ids, target_ids in rows:
        own = [-100] * len(prompt_ids) + [*target_ids, end]
        own = own[:length]
        found.append(own + [-100] * (length - len(own)))
    return found
    ### END SOLUTION


# %% tags=["test"]
assert labels_of([([11, 12], [21])], 2, 4) == [[-100, -100, 21, 2]], (
    "labels_of: the prompt has -100, then come the target and the end token"
)
### BEGIN HIDDEN TESTS
assert labels_of([([11], [21])], 2, 5) == [[-100, 21, 2, -100, -100]], (
    "labels_of: padding has -100 too; a 0 would teach the model to write token 0"
)
assert labels_of([([11], [21, 22, 23])], 2, 3) == [[-100, 21, 22]], (
    "labels_of: a row that is too long is cut at its end"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.2a/targets", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab2.2a/zeros", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.2a/end", my_choice)

# %% [markdown]
# ## What this does not show
#
# luthier itself pads each batch only to its own longest row, and sorts rows by length. A model of another family has
# other places: an encoder-decoder reads the prompt in its encoder, so its labels hold the answer alone.
