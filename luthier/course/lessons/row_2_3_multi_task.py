# %% [markdown]
# # 2.3 Multi-task instruction fine-tuning
#
# One training can hold several tasks. Then somebody has to decide how much of each it reads. Equal rows look fair. In
# this lesson you see that they are not equal, and turn the dial that decides.

# %% [markdown]
# ## Predict
#
# Three tasks ask about the same dialogues: write a summary, name the kind of situation, name the mood. A training gets
# equally many rows of each. What percent of the tokens that it learns from belong to the summaries?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"number"}
predict("2.3/summary-tokens", my_guess)

# %% [markdown]
# ## Run: rows and tokens
#
# Here are three tasks that ship with luthier, read by a model's tokenizer. A training learns from the tokens of the
# answers. The end token counts as well.

# %%
import luthier
from luthier.model.sources import resolve
from luthier.planning.tokenizer import LightTokenizer

tokenizer = LightTokenizer(resolve("smollm2-135m"))
TASKS = ("dialogues", "dialogues:kind", "dialogues:mood")


def answer_tokens(name: str) -> list[int]:
    """Tokens of each training answer, its end token included."""
    task = luthier.load_task(name)
    return [len(tokenizer(one.references[0])["input_ids"]) + 1 for one in task.train]


tokens = {name: answer_tokens(name) for name in TASKS}
each = {name: sum(own) / len(own) for name, own in tokens.items()}
in_all = sum(sum(own) for own in tokens.values())
share = {name: sum(own) / in_all for name, own in tokens.items()}
show(Table(("task", "rows", "tokens an answer", "share of the tokens"), [
    (name, len(tokens[name]), f"{each[name]:.1f}", f"{share[name]:.1%}") for name in TASKS
]))  # fmt: skip

# %% [markdown]
# Rows are equal, tokens are not. The loss is a mean over tokens. So the summaries decide nearly alone where the model
# goes.

# %% tags=["claim"]
# Equal rows: each task has 144. The summaries hold more than 85 % (0.85) of the tokens.
assert {len(own) for own in tokens.values()} == {144}
assert share["dialogues"] > 0.85

# %% [markdown]
# ## Turn a dial: the temperature of a mixture
#
# Tasks have different sizes. A proportional mixture gives each task its share of all rows. A temperature above one
# evens the shares out: each size is raised to the power of one over the temperature [Raffel and others 2020]. A cap
# says that no task counts as more than so many rows.

# %% tags=["dials"]
temperature = 2.0  # @param {type:"slider", min:1, max:10, step:0.5}
cap = 20000  # @param {type:"slider", min:100, max:20000, step:100}

# %%
from luthier.studies.mixture import Mixture, draw, quotas, rates

SIZES = {"summaries": 12_000, "kinds": 1_000, "moods": 50}
shown = {
    "proportional": rates(SIZES, Mixture(kind="proportional")),
    f"T = {temperature}": rates(SIZES, Mixture(kind="temperature", temperature=temperature, cap=cap)),
    "equal": rates(SIZES, Mixture(kind="equal")),
}
show(Table(("mixture", *SIZES), [(name, *[f"{own[task]:.1%}" for task in SIZES]) for name, own in shown.items()]))
small = [(name, 100 * own["moods"]) for name, own in shown.items()]
show(bars("Share of the smallest task", small, "%"))

# %% [markdown]
# A share has a price. A small task that reads a third of a long training reads each row many times.

# %%
TOTAL = 6_000
reads = {}
for kind in ("proportional", "equal"):
    samples = draw(SIZES, dict.fromkeys(SIZES, 1), Mixture(kind=kind), TOTAL, seed=0)
    reads[kind] = sum(one.task == "moods" for one in samples) / SIZES["moods"]
    print(f"{kind}: each row of the smallest task is read {reads[kind]:.1f} times in {TOTAL:,} samples")

# %% tags=["claim"]
# In 6,000 samples of an equal mixture each of the 50 rows is read 40 times; in a proportional one less than once.
assert TOTAL == 6_000 and SIZES["moods"] == 50
assert reads["equal"] == 40 and reads["proportional"] < 1
assert quotas(rates(SIZES, Mixture(kind="equal")), TOTAL)["moods"] == 2_000

# %% [markdown]
# ## Train it
#
# A tiny model learns three tasks at once. A sign says which one, and each moves letters by another number of places.
# The rare task is one row in 651 of a proportional mixture. All mixtures read equally many rows.

# %%
import torch

from luthier.scratch.drawn import moved_letters, share_right, train_drawn
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

MOVES = {"summaries": (10, 1), "kinds": (11, 4), "moods": (12, 7)}  # task -> its sign and its places
RARE = {"summaries": 12_000, "kinds": 1_000, "moods": 20}


def trained(mixture: Mixture, steps: int = 250) -> dict[str, float]:
    """Task -> share right, after a training on a mixture."""
    shares = rates(RARE, mixture)
    torch.manual_seed(0)
    shape = Shape(vocabulary=13, family="encoder", width=32, layers=2, heads=2, positions="learned", window=8)
    model = Transformer(shape)
    names, weights = list(shares), list(shares.values())
    train_drawn(model, lambda dice: moved_letters(dice, *MOVES[dice.choices(names, weights)[0]]), steps=steps)
    return {
        task: share_right(model, lambda dice, own=task: moved_letters(dice, *MOVES[own]), rows=100) for task in MOVES
    }


proportional = trained(Mixture(kind="proportional"))
equal = trained(Mixture(kind="equal"))
show(Table(("mixture", *MOVES), [
    ("proportional", *[f"{one:.2f}" for one in proportional.values()]),
    ("equal", *[f"{one:.2f}" for one in equal.values()]),
]))  # fmt: skip

# %% [markdown]
# The proportional mixture learns the large task and leaves the rare one behind. The equal mixture learns all three.

# %% tags=["claim"]
# The rare task is one row in 651 of the rows. Equal shares: all above 0.9. Proportional: it is far behind.
assert sum(RARE.values()) // RARE["moods"] == 651
assert min(equal.values()) > 0.9 and proportional["summaries"] > 0.9
assert proportional["moods"] < equal["moods"] - 0.3

# %% [markdown]
# ## Fill a hole
#
# Write the share of the *tokens* that each task gets. `rows` holds how many rows of each task are read, `length` how
# many answer tokens a row of it has on average.


# %% tags=["hole"]
def token_shares(rows: dict[str, int], length: dict[str, float]) -> dict[str, float]:
    """Task -> its share of all answer tokens; the shares sum to one."""
    ### BEGIN SOLUTION
    tokens = {task: rows[task] * length[task] for task in rows}
    total = sum(tokens.values())
    return {task: own / total for task, own in tokens.items()}
    ### END SOLUTION


# %% tags=["test"]
assert token_shares({"long": 10, "short": 10}, {"long": 30.0, "short": 10.0}) == {"long": 0.75, "short": 0.25}, (
    "token_shares: with equal rows a task of long answers gets more tokens"
)
### BEGIN HIDDEN TESTS
assert token_shares({"long": 10, "short": 30}, {"long": 30.0, "short": 10.0}) == {"long": 0.5, "short": 0.5}, (
    "token_shares: the tokens of a task are its rows times its length"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.3/token-share", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.3/temperature", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.3/equal", my_choice)

# %% [markdown]
# ## What this does not show
#
# The tiny tasks here do not help each other. Tasks of a real model do at times, and that is why multi-task models such
# as FLAN are strong in tasks that they never read [Wei and others 2022]. Which mixture is best for yours is decided by
# dev sets, one for each task: `luthier multitask`.
