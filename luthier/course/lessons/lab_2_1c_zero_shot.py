# %% [markdown]
# # Lab 2.1c The model at zero shot
#
# Before a model is tuned, its own answers are kept. They are the baseline. Here you find a mistake that many
# notebooks make with this baseline: the model answers in training mode.

# %% [markdown]
# ## Predict
#
# You ask a model the same question ten times. It decodes greedily, so it always takes the likeliest token. How many
# different answers do you get? And how many, if the model was left in training mode?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_eval = None  # @param {type:"integer"}
my_guess_train = None  # @param {type:"integer"}
predict("lab2.1c/answers-eval", my_guess_eval)
predict("lab2.1c/answers-train", my_guess_train)

# %% [markdown]
# ## Run: ten times the same question
#
# The model is a tiny T5 that has learned nothing. Its shape is the one of T5, only smaller. Like its large relatives it
# has dropout: while it trains, each number between its layers is set to zero with a chance of one in ten.

# %% tags=["dials"]
dropout = 0.1  # @param {type:"slider", min:0, max:0.5, step:0.05}

# %%
import torch
from transformers import T5Config, T5ForConditionalGeneration


def tiny_t5(dropout: float) -> T5ForConditionalGeneration:
    """A new T5 of 64 tokens; the same weights each time."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=64, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, dropout_rate=dropout,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


question = torch.tensor([[5, 9, 33, 21, 8, 1]])


def answers(model: T5ForConditionalGeneration, times: int = 10) -> list[tuple[int, ...]]:
    """Greedy answers to one question, asked several times."""
    found = []
    with torch.no_grad():
        for _ in range(times):
            written = model.generate(question, max_new_tokens=8, min_new_tokens=8, do_sample=False, num_beams=1)
            found.append(tuple(written[0].tolist()))
    return found


model = tiny_t5(dropout)
for mode in ("eval", "train"):
    model.train(mode == "train")
    torch.manual_seed(1)
    own = answers(model)
    print(f"{mode}: {len(set(own))} different answers of 10; the first is {list(own[0])}")

# %% [markdown]
# Greedy decoding takes the likeliest token. But which one that is depends on the numbers that dropout removes. So the
# baseline of a model in training mode is the baseline of a damaged model. Each run gives another one, and the tuned
# model looks better than it is.

# %% tags=["claim"]
# With dropout of 0.1, asked ten times: one answer in eval mode, several in training mode. Without dropout, one in both.
damaged = tiny_t5(0.1)
torch.manual_seed(1)
in_train = len(set(answers(damaged.train())))
in_eval = len(set(answers(damaged.eval())))
assert in_eval == 1 and in_train > 1
assert len(set(answers(tiny_t5(0.0).train()))) == 1

# %% [markdown]
# ## Why some models hide it
#
# Many decoders of today have no dropout. With them the mistake does no harm, and nobody notices it. Then somebody takes
# a T5.

# %%
shares = [(f"dropout {rate}", float(len(set(answers(tiny_t5(rate).train()))))) for rate in (0.0, 0.1, 0.3)]
show(bars("Different answers of ten in training mode", shares))

# %% [markdown]
# luthier's own generator turns a model to eval mode before it answers. If you write a loop of your own, do it yourself,
# and look: `model.training` says which mode it is in.

# %% tags=["claim"]
assert damaged.training is False
assert damaged.train().training is True

# %% [markdown]
# ## What dropout does to a number
#
# In training mode a number stays with a chance of one minus the rate, and is divided by that chance. So its mean stays.
# In eval mode it is left alone.

# %%
torch.manual_seed(2)
ones = torch.ones(20_000)
dropped = torch.nn.functional.dropout(ones, 0.1)
kept = float((dropped > 0).float().mean())
show(Table(("what", "value"), [
    ("share that stays", f"{kept:.3f}"),
    ("a number that stays", f"{float(dropped.max()):.4f}"),
    ("mean of all", f"{float(dropped.mean()):.3f}"),
]))  # fmt: skip

# %% tags=["claim"]
# Of ones at 0.1: about 0.9 stay, each becomes 1 / 0.9, and the mean is near one.
assert 0.88 < kept < 0.92
assert abs(float(dropped.max()) - 1 / 0.9) < 1e-5
assert abs(float(dropped.mean()) - 1) < 0.02

# %% [markdown]
# ## Fill a hole
#
# Write a check of a baseline. `answers` holds what a model said each time it was asked one question. Return how many
# questions have more than one answer. Blanks at the ends of an answer do not count.


# %% tags=["hole"]
def unsteady(answers: dict[str, list[str]]) -> int:
    """How many questions were answered in more than one way."""
    ### BEGIN SOLUTION
    return sum(len({one.strip() for one in own}) > 1 for own in answers.values())
    ### END SOLUTION


# %% tags=["test"]
assert unsteady({"a": ["yes", "yes"], "b": ["yes", "no"]}) == 1, (
    "unsteady: count the questions whose answers differ, not the answers"
)
### BEGIN HIDDEN TESTS
assert unsteady({"a": ["yes", "yes "]}) == 0, "unsteady: blanks at the ends do not count"
assert unsteady({"a": ["yes", "yes", "no"]}) == 1, "unsteady: compare all the answers of a question, not two of them"
assert unsteady({"a": ["x", "y", "z"], "b": ["x", "y", "z"]}) == 2, "unsteady: each question counts once"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.1c/all-kept", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab2.1c/scaled", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.1c/greedy", my_choice)

# %% [markdown]
# ## What this does not show
#
# A model that has learned nothing is easy to disturb. A trained one changes fewer answers. But a baseline has to be the
# same in each run, and one changed answer in ten is already too many. A training on a GPU can also differ between runs
# for other reasons, such as the order of sums.
