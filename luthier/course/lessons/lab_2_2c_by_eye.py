# %% [markdown]
# # Lab 2.2c Full fine-tuning judged by people
#
# ROUGE counts words. People read. Here you judge pairs of summaries by keys, without knowing who wrote which.
# Some pairs are planted: there one of the two is surely better. They tell whether you were reading.

# %% [markdown]
# ## Predict
#
# You judge twenty pairs of two arms that are equally good. How many more wins has the luckier one, on average: about
# zero, about four or about ten?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import bars, show

my_guess = None  # @param {type:"number"}
predict("lab2.2c/lead", my_guess)

# %%
import random

dice = random.Random(0)
leads = [abs(sum(dice.choice((-1, 1)) for _ in range(20))) for _ in range(4_000)]
mean_lead = sum(leads) / len(leads)
print(f"of twenty votes between equals the luckier one leads by {mean_lead:.1f} on average")

# %% tags=["claim"]
# Between equals the lead is near 3.5 of twenty votes.
assert 3.2 < mean_lead < 3.8

# %% [markdown]
# A lead of three or four votes is what chance gives. Keep this in mind when you count your own.

# %% [markdown]
# ## Run: a blind ballot
#
# Two arms that need no model have summed up four dialogues. One copies the first three lines, the other takes the
# summary of the most similar training dialogue. Two more pairs are planted. There one text is the reference, and the
# other is the reference of another dialogue. Sides are drawn by a seed.

# %% tags=["dials"]
seed = 1  # @param {type:"slider", min:1, max:20, step:1}

# %%
import luthier
from luthier.adapt.baselines import Copy, Nearest, copied, nearest

task = luthier.load_task("dialogues")
short = sorted(task.test, key=lambda one: len(one.input))[:6]
texts = {
    "copy-3": {one.id: one.text for one in copied(Copy(lines=3), task.train, short)},
    "nearest": {one.id: one.text for one in nearest(Nearest(), task.train, short)},
}


def ballot(seed: int) -> list[dict]:
    """Six pairs in random order and sides; `first` and `second` say who wrote which."""
    dice = random.Random(seed)
    pairs = []
    for place, one in enumerate(short):
        other = short[(place + 1) % len(short)]
        if place < 2:  # planted
            pair = [("reference", one.references[0]), ("wrong dialogue", other.references[0])]
        else:
            pair = [(name, texts[name][one.id]) for name in texts]
        dice.shuffle(pair)
        pairs.append({"input": one.input, "first": pair[0], "second": pair[1], "planted": place < 2})
    dice.shuffle(pairs)
    return pairs


pairs = ballot(seed)
for number, pair in enumerate(pairs, 1):
    print(f"--- pair {number} ---\n{pair['input']}\n\n1: {pair['first'][1]}\n2: {pair['second'][1]}\n")

# %% [markdown]
# Judge each pair by this rubric, in this order. Is everything true? Is what matters there? Is it short? Type a key for
# each pair: `1`, `2`, or `t` for a tie, such as `12t121`.

# %% tags=["predict"]
my_keys = ""  # @param {type:"string"}
predict("lab2.2c/keys", my_keys)

# %%
NUMBER = {"1": 0, "2": 1}


def counted(keys: str, pairs: list[dict]) -> dict[str, int]:
    """How often each writer won."""
    wins: dict[str, int] = {}
    for key, pair in zip(keys, pairs):
        if key in NUMBER:
            name = (pair["first"], pair["second"])[NUMBER[key]][0]
            wins[name] = wins.get(name, 0) + 1
    return wins


keys = my_keys or "".join("2" if pair["second"][0] == "reference" else "1" for pair in pairs)
print("counted:", counted(keys, pairs), "" if my_keys else "(these keys are an example)")
caught = sum(
    (pair["first"], pair["second"])[NUMBER.get(key, 0)][0] == "reference"
    for key, pair in zip(keys, pairs)
    if pair["planted"] and key in NUMBER
)
print(f"planted pairs: {caught} of 2 right")

# %% tags=["claim"]
# Six pairs, two of them planted; each writer stands on some side; the sides change with the seed.
assert len(pairs) == 6 and sum(pair["planted"] for pair in pairs) == 2
assert len({tuple(pair["first"][0] for pair in ballot(one)) for one in range(10)}) > 1

# %% [markdown]
# Somebody who always presses `1` catches a planted pair only by chance. That is why planted pairs are there, and why
# the sides are drawn.

# %%
always = [counted("111111", ballot(one)).get("reference", 0) for one in range(200)]
print(f"always 1: {sum(always) / 400:.0%} of the planted pairs right")

# %% tags=["claim"]
# About half (0.5) of the planted pairs are right by luck.
assert 0.4 < sum(always) / 400 < 0.6

# %% [markdown]
# ## How many votes

# %%
from luthier.rating.strengths import votes_needed
from luthier.stats.intervals import wilson

for share in (0.55, 0.6, 0.7, 0.8):
    print(f"an arm that wins {share:.0%}: {votes_needed(share):,} votes are needed")
low, high = wilson(14, 20)
print(f"14 of 20 votes: the true share may lie from {low:.2f} to {high:.2f}")
show(bars("Votes needed", [(f"wins {share:.0%}", votes_needed(share)) for share in (0.55, 0.6, 0.7, 0.8)]))

# %% tags=["claim"]
# An arm that wins 0.6 of the votes takes more than 150 of them; one that wins 0.55 more than 700.
assert votes_needed(0.6) > 150 and votes_needed(0.55) > 700
assert low < 0.5 < 0.7 < high

# %% [markdown]
# ## Fill a hole
#
# Two people judged the same pairs, with keys `1`, `2` and `t`. Write how far they agree beyond chance [Cohen 1960].
# Take the observed agreement less the agreement by chance. Divide this by one less the agreement by chance. The
# agreement by chance is a sum over the keys: for each key, the product of both people's shares of it. If it is one,
# return one.


# %% tags=["hole"]
def kappa(a: str, b: str) -> float:
    """Agreement of two raters beyond chance; both texts have a key for each pair."""
    ### BEGIN SOLUTION
    n = len(a)
    observed = sum(one == other for one, other in zip(a, b)) / n
    chance = sum(a.count(key) / n * b.count(key) / n for key in set(a + b))
    return 1.0 if chance == 1 else (observed - chance) / (1 - chance)
    ### END SOLUTION


# %% tags=["test"]
assert abs(kappa("1212", "1212") - 1) < 1e-9, "kappa: full agreement is one"
assert abs(kappa("1122", "1212") - 0) < 1e-9, "kappa: half of the keys agree here, which is what chance gives"
### BEGIN HIDDEN TESTS
assert abs(kappa("1112", "1111") - 0) < 1e-9, "kappa: the chance uses each rater's own shares of the keys"
assert abs(kappa("1111", "1111") - 1) < 1e-9, "kappa: where chance is one, return one"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.2c/kappa", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab2.2c/win-rate", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.2c/planted", my_choice)

# %% [markdown]
# ## What this does not show
#
# The two arms here need no model. So this step takes seconds. For a study of yours, `luthier rate` opens the
# ballot. One reader is one taste. Several people, who judge the same pairs, show how much of a verdict is taste.
