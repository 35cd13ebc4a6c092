# %% [markdown]
# # Lab 2.3d LoRA judged by ROUGE
#
# Four arms have answered one test set. Which one do you ship? The highest mean is not an answer yet. Here you
# compare all four at once, find the cheapest one that is good enough, and learn how many dialogues are missing where
# nobody can tell.

# %% [markdown]
# ## Predict
#
# Four arms are equal in truth. Somebody compares each pair with a 95 % interval of its own. In how many percent of such
# studies does he call some arm better?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"number"}
predict("lab2.3d/false-alarms", my_guess)
# Four arms make six pairs; the level is 95 %.

# %% [markdown]
# ## Run: four arms, six pairs
#
# The scores are drawn by a seed, so the truth is known. Zero shot is behind by eight points. Full fine-tuning and LoRA
# are equal. Soft prompts are behind by one point.

# %% tags=["dials"]
dialogues = 60  # @param {type:"slider", min:20, max:400, step:20}
margin = 0.02  # @param {type:"slider", min:0.005, max:0.05, step:0.005}

# %%
import random

import luthier
from luthier.records import Score

TRUTH = {"zero-shot": 0.26, "full": 0.34, "lora": 0.34, "soft": 0.33}
MEGABYTES = {"zero-shot": 0, "full": 270, "lora": 3, "soft": 1}  # what each adds on the disk


def scores_of(truth: dict[str, float], dialogues: int, seed: int) -> dict[str, list[Score]]:
    """ROUGE-1 of each arm: its mean in truth, how easy a dialogue is, and noise of its own."""
    dice = random.Random(f"four-arms-{seed}")
    arms: dict[str, list[Score]] = {name: [] for name in truth}
    for dialogue in range(dialogues):
        easy = dice.gauss(0, 0.08)
        for name, mean in truth.items():
            value = min(1.0, max(0.0, mean + easy + dice.gauss(0, 0.05)))
            arms[name].append(Score(f"d{dialogue}", f"d{dialogue}", {"rouge1": value}))
    return arms


def compared(dialogues: int, margin: float, seed: int = 4) -> dict:
    """The comparison of all four, as compare.json holds it; the cheaper arm is the smaller one."""
    cost = {name: (float(size),) for name, size in MEGABYTES.items()}
    arms = scores_of(TRUTH, dialogues, seed)
    return luthier.compare(arms, deciding="rouge1", margin=margin, cost=cost, baselines=("zero-shot",))


result = compared(dialogues, margin)
show(bars("Mean ROUGE-1", [(name, own["rouge1"]["mean"]) for name, own in result["arms"].items()]))
show(Table(("pair", "difference", "low", "high", "verdict"), [
    (f"{one['a']} - {one['b']}", f"{one['difference']:+.3f}", f"{one['simultaneous_low']:+.3f}",
     f"{one['simultaneous_high']:+.3f}", one["verdict"])
    for one in result["pairs"]
]))  # fmt: skip
print(result["ship"]["sentence"])

# %% [markdown]
# The intervals here are longer than those of one pair. They hold for all six pairs at once. The last line is the
# decision. It asks another question than the pairs do: which arm is surely no more than the margin behind the best of
# the others? [Hsu 1981]. Of these it takes the cheapest.

# %%
bounds = result["ship"]["lower_bounds"]
show(Table(("arm", "MB", "at most this far behind the best"), [
    (name, MEGABYTES[name], f"{bound:+.4f}") for name, bound in bounds.items()
]))  # fmt: skip

# %% [markdown]
# With 60 dialogues all of it is uncertain. With ten times as many the three trained arms come closer to an answer.

# %%
few, many = compared(60, 0.02), compared(600, 0.02)
for name, one in (("60 dialogues", few), ("600 dialogues", many)):
    detectable = one["power"]["detectable"]
    print(f"{name}: {one['ship']['sentence']} Detectable: {detectable:.3f}.")

# %% tags=["claim"]
# All six pairs at once. Zero shot is shown to be worse with 60 dialogues already. With 600, what can be detected is
# less than half, and some arm is shipped that is no more than the margin of 0.02 behind.
assert few["comparisons"] == 6
worse = [one for one in few["pairs"] if "zero-shot" in (one["a"], one["b"])]
assert all(one["verdict"] in ("better", "worse") for one in worse)
assert many["power"]["detectable"] < few["power"]["detectable"] / 2
assert many["ship"]["verdict"] == "ship" and many["ship"]["lower_bounds"][many["ship"]["arm"]] > -0.02

# %% [markdown]
# ## Why the intervals are longer
#
# Now four arms that are equal in truth. Compare each pair alone, and all six at once.

# %%
from itertools import combinations

from luthier.stats.intervals import paired
from luthier.stats.simultaneous import simultaneous_level

STUDIES = 250


def false_alarms(level: float) -> float:
    """Share of studies of four equal arms in which the interval of some pair leaves out zero."""
    found = 0
    for seed in range(STUDIES):
        arms = scores_of(dict.fromkeys(TRUTH, 0.33), 40, seed)
        values = {name: [one.values["rouge1"] for one in own] for name, own in arms.items()}
        ends = [paired(values[a], values[b]).interval(level) for a, b in combinations(values, 2)]
        found += any(low > 0 or high < 0 for low, high in ends)
    return found / STUDIES


alone, at_once = false_alarms(0.95), false_alarms(simultaneous_level(0.95, 6))
print(f"some equal arm is called better: {alone:.0%} with intervals of one pair, {at_once:.0%} with those of six")

# %% tags=["claim"]
# Each pair alone: above 0.12 of the studies. All six at once: below 0.08.
assert alone > 0.12
assert at_once < 0.08

# %% [markdown]
# ## Fill a hole
#
# Write the decision. `bounds` maps an arm to its lower bound against the best of the others, and `cost` to what it
# costs. Return the cheapest arm whose bound is above minus the margin, or `"cannot tell"`.


# %% tags=["hole"]
def to_ship(bounds: dict[str, float], cost: dict[str, float], margin: float) -> str:
    """The cheapest arm that is surely less than the margin behind the best, or 'cannot tell'."""
    ### BEGIN SOLUTION
    near = [name for name, bound in bounds.items() if bound > -margin]
    return min(near, key=lambda name: cost[name]) if near else "cannot tell"
    ### END SOLUTION


# %% tags=["test"]
assert to_ship({"full": -0.005, "lora": -0.06}, {"full": 270, "lora": 3}, 0.02) == "full", (
    "to_ship: an arm that may be more than the margin behind is not shipped, however cheap it is"
)
### BEGIN HIDDEN TESTS
assert to_ship({"full": 0.0, "lora": -0.01}, {"full": 270, "lora": 3}, 0.02) == "lora", (
    "to_ship: of those that are near enough the cheapest is shipped, not the one with the best bound"
)
assert to_ship({"full": -0.03, "lora": -0.04}, {"full": 270, "lora": 3}, 0.02) == "cannot tell", (
    "to_ship: where no arm is surely near the best, nobody can tell"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.3d/ship", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab2.3d/pairs", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.3d/not-separated", my_choice)

# %% [markdown]
# ## The end of lab 2: a study
#
# Now train for real: full fine-tuning and LoRA on the same rows, beside the model as it is. Type the line below in a
# terminal, in this folder. It takes a while. If you stop it, the same line goes on.

# %%
from luthier.course import labs

print(labs.STUDIES[2].command)

# %% [markdown]
# It writes a folder, `lab-2-study`, with a page in it: `report.html`. Find three things on that page.
#
# 1. What does full fine-tuning gain over the model as it is, with its interval?
# 2. Which arm is shipped? If none is, what would it take?
# 3. How large is what each arm adds on the disk?
#
# Then judge pairs of full fine-tuning and LoRA blind: `luthier rate lab-2-study`. At the end `luthier hand-in` packs
# your lessons, your answers and this report. The same study as a job of SageMaker: `luthier lab job --sagemaker job`.

# %% tags=["claim"]
# A study gives no verdict below twenty dialogues, and this one asks more.
assert int(labs.STUDIES[2].settings["test"]) > 20 and labs.STUDIES[2].folder == "lab-2-study"

# %% [markdown]
# ## What this does not show
#
# The truth of the four arms above was set by hand, so that you can see what an interval makes of it. The arms of your
# study have another truth. And the decision rests on one metric. Read answers before you ship.
