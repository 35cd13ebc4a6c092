# %% [markdown]
# # Lab 2.2d Full fine-tuning judged by ROUGE
#
# A notebook prints two means of ROUGE and says that one model is better. Here you compute them again, find out
# why the same answers can have two different means, and say with an interval what the difference is.

# %% [markdown]
# ## Predict
#
# A known notebook prints the base model's ROUGE-1 twice, for the same rows. One place says 0.2422, another place says
# 0.2128. What may be different between the two?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = ""  # @param {type:"string"}
predict("lab2.2d/two-means", my_guess)
PRINTED = (0.2422, 0.2128)

# %% [markdown]
# ## Run: the same answers, several means
#
# Here is an arm that needs no model: it copies the first three lines of each dialogue. Its 60 answers stay the same.
# Only the way of scoring changes. Each test dialogue has two references.

# %%
import luthier
from luthier.adapt.baselines import Copy, Nearest, copied, nearest

task = luthier.load_task("dialogues")
copies = copied(Copy(lines=3), task.train, task.test)


def mean(scores: list, metric: str = "rouge1") -> float:
    """The mean of a metric over the scores."""
    return sum(one.values[metric] for one in scores) / len(scores)


ways = {
    "mean of both references": mean(luthier.score(copies, task.test, ["rouge1"])),
    "the better reference": mean(luthier.score(copies, task.test, ["rouge1"], references="max")),
    "ROUGE-L": mean(luthier.score(copies, task.test, ["rougeL"]), "rougeL"),
}
show(bars("One arm, one test set", list(ways.items())))

# %% [markdown]
# Every bar may be called ROUGE. So a number without its way of scoring is no result. luthier writes the way beside each
# number.

# %%
from luthier.scoring.score import signature

print(signature("rouge1"))
print(signature("rouge1", references="max"))

# %% tags=["claim"]
# The better reference gives more than the mean of both; the signatures differ too. The printed pair is 0.0294 apart.
assert ways["the better reference"] > ways["mean of both references"] + 0.01
assert signature("rouge1") != signature("rouge1", references="max")
assert round(PRINTED[0] - PRINTED[1], 4) == 0.0294

# %% [markdown]
# The printed pair is 0.0294 apart, which is more than many trainings gain. Suppose the base is scored in one way and
# the tuned model in the other. Then the scorer makes the gain.

# %% [markdown]
# ## The paired difference
#
# Now two arms in one way of scoring. The second one takes the summary of the most similar training dialogue. Both
# answered the same dialogues, so each dialogue gives one difference.

# %% tags=["dials"]
metric = "rouge1"  # @param ["rouge1", "rouge2", "rougeL"]
margin = 0.02  # @param {type:"slider", min:0.005, max:0.1, step:0.005}

# %%
arms = {"copy-3": copies, "nearest": nearest(Nearest(), task.train, task.test)}
scores = {name: luthier.score(own, task.test, ["rouge1", "rouge2", "rougeL"]) for name, own in arms.items()}


def pair(metric: str, margin: float) -> dict:
    """copy-3 against nearest, as compare.json holds it."""
    pairs = luthier.compare(scores, deciding=metric, margin=margin, baselines=())["pairs"]
    return next(one for one in pairs if one["metric"] == metric)


found = pair(metric, margin)
show(Table(("arm", metric), [(name, f"{mean(own, metric):.3f}") for name, own in scores.items()]))
print(f"copy-3 - nearest: {found['difference']:+.3f}, interval {found['low']:+.3f} to {found['high']:+.3f}")
print(f"the verdict for copy-3 over {found['n']} dialogues: {found['verdict']}")

# %% [markdown]
# Pairing pays. A hard dialogue is hard for both arms, and the difference does not see it. Compare the interval with the
# one of two arms that answered different dialogues.

# %%
from luthier.stats.intervals import mean_of, paired

a, b = ([one.values["rouge1"] for one in scores[name]] for name in arms)
one_way = mean_of(a).interval(0.95), mean_of(b).interval(0.95)
paired_half = (paired(a, b).interval(0.95).high - paired(a, b).interval(0.95).low) / 2
apart_half = sum(((end.high - end.low) / 2) ** 2 for end in one_way) ** 0.5
print(f"half width paired {paired_half:.3f}, as if they had answered different dialogues {apart_half:.3f}")

# %% tags=["claim"]
# 60 dialogues. The verdict follows from the interval: here it excludes zero, or it says that nobody can tell.
usual = pair("rouge1", 0.02)
assert usual["n"] == 60
assert (usual["verdict"] in ("better", "worse")) == (usual["low"] > 0 or usual["high"] < 0)
assert abs(usual["difference"] - (sum(a) - sum(b)) / 60) < 1e-9

# %% [markdown]
# ## Fill a hole
#
# Write the paired differences. Each argument maps a dialogue to its score. The two may stand in different order, and a
# dialogue may be missing on one side. Return the mean difference over the dialogues that both have.


# %% tags=["hole"]
def paired_difference(tuned: dict[str, float], base: dict[str, float]) -> float:
    """The mean of tuned - base over the dialogues that both have."""
    ### BEGIN SOLUTION
    both = [name for name in tuned if name in base]
    return sum(tuned[name] - base[name] for name in both) / len(both)
    ### END SOLUTION


# %% tags=["test"]
assert abs(paired_difference({"a": 0.5, "b": 0.3}, {"a": 0.4, "b": 0.2}) - 0.1) < 1e-9, (
    "paired_difference: take tuned minus base, and the mean over the dialogues"
)
### BEGIN HIDDEN TESTS
assert abs(paired_difference({"a": 0.5, "b": 0.3, "c": 0.9}, {"a": 0.4, "b": 0.2}) - 0.1) < 1e-9, (
    "paired_difference: a dialogue that only one of them answered is left out"
)
assert abs(paired_difference({"a": 0.5, "b": 0.3}, {"c": 0.9, "b": 0.1, "a": 0.4}) - 0.15) < 1e-9, (
    "paired_difference: find a dialogue by its name, not by its place"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.2d/difference", my_answer)

# %% tags=["question"]
my_verdict = ""  # @param {type:"string"}
ask("lab2.2d/verdict", my_verdict)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.2d/two-means", my_choice)

# %% [markdown]
# ## What this does not show
#
# The arms here need no training, so that this step takes seconds. The study at the end of this lab makes the same
# tables for arms that were trained. And ROUGE counts shared words. Whether a summary is true is another question, which
# lab 2.2c asks people.
