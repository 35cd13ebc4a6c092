# %% [markdown]
# # Lab 2.3c LoRA judged by people
#
# You have judged pairs by keys. A metric has judged them too. Here you ask how often the two agree, and you meet
# summaries that a metric loves and a reader rejects.

# %% [markdown]
# ## Predict
#
# Here are two summaries of one dialogue. One says in other words what the reference says. The other is the reference
# with one more word: not. In how many percent of such pairs does ROUGE-1 prefer the false one?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"number"}
predict("lab2.3c/prefers-false", my_guess)
# ROUGE-1 counts single words.

# %% [markdown]
# ## Run: true words and false words
#
# Each test dialogue of the task has two summaries. The first one is the reference here. The second one is the honest
# paraphrase. The false text is the reference, with its first verb denied.

# %%
import random
import re

import luthier
from luthier.records import Answer, Example

task = luthier.load_task("dialogues")
VERB = re.compile(r"\b(is|are|was|were|will|would|can|could|has|have|had|does|did)\b")


def denied(text: str) -> str | None:
    """The text with its first verb denied; None where none of the verbs is in it."""
    return VERB.sub(r"\1 not", text, count=1) if VERB.search(text) else None


usable = [one for one in task.test if len(one.references) > 1 and denied(one.references[0])]
examples = [Example(one.id, one.input, one.references[:1]) for one in usable]
arms = {
    "paraphrase": [Answer(one.id, one.references[1]) for one in usable],
    "denied": [Answer(one.id, denied(one.references[0]) or "") for one in usable],
}
scores = {
    name: [one.values["rouge1"] for one in luthier.score(own, examples, ["rouge1"])] for name, own in arms.items()
}
print(f"{len(usable)} pairs; for example:")
print("  reference: ", usable[0].references[0])
print("  paraphrase:", arms["paraphrase"][0].text)
print("  denied:    ", arms["denied"][0].text)
show(bars("Mean ROUGE-1", [(name, sum(own) / len(own)) for name, own in scores.items()]))
prefers_false = sum(b > a for a, b in zip(scores["paraphrase"], scores["denied"])) / len(usable)
print(f"ROUGE-1 prefers the false text in {prefers_false:.0%} of the pairs")

# %% tags=["claim"]
# More than 20 pairs; ROUGE-1 prefers the false text in more than 0.95 of them.
assert len(usable) > 20
assert prefers_false > 0.95

# %% [markdown]
# A reader would take the paraphrase nearly always. So between two texts of this kind, more ROUGE is worse. That does
# not make ROUGE useless. It compares means of whole arms that make the same kinds of mistakes. It is no reader.

# %% [markdown]
# ## You against the metric
#
# Judge four pairs blind. The sides are drawn by a seed. Type `1` or `2` for each, such as `1221`.

# %% tags=["dials"]
seed = 1  # @param {type:"slider", min:1, max:20, step:1}

# %%
dice = random.Random(seed)
shortest = sorted(range(len(usable)), key=lambda at: len(usable[at].input))[:4]
turned = [dice.random() < 0.5 for _ in shortest]
for number, (at, turn) in enumerate(zip(shortest, turned), 1):
    pair = [arms["paraphrase"][at].text, arms["denied"][at].text]
    first, second = pair[::-1] if turn else pair
    print(f"--- pair {number} ---\n{usable[at].input}\n\n1: {first}\n2: {second}\n")

# %% tags=["predict"]
my_keys = ""  # @param {type:"string"}
predict("lab2.3c/keys", my_keys)

# %%
true_keys = "".join("2" if turn else "1" for turn in turned)
metric_keys = "".join(
    "1" if (scores["denied"][at] > scores["paraphrase"][at]) == turn else "2" for at, turn in zip(shortest, turned)
)
show(Table(("who", *[f"pair {number}" for number in range(1, 5)]), [
    ("you", *(my_keys or "----")), ("ROUGE-1", *metric_keys), ("the true text", *true_keys),
]))  # fmt: skip

# %% [markdown]
# ## What agreement by chance looks like
#
# An agreement of 60 % sounds like something. Votes that are drawn by a coin agree with a metric in half of
# the pairs. With few pairs they often agree in more.

# %%
coin = random.Random(0)
lucky = {
    n: sum(sum(coin.random() < 0.5 for _ in range(n)) >= 0.6 * n for _ in range(2_000)) / 2_000 for n in (10, 40, 200)
}
show(bars("Chance that a coin agrees in 60 % or more", [(f"{n} pairs", share) for n, share in lucky.items()]))

# %% tags=["claim"]
# A coin agrees in 60 % of ten pairs in more than 0.3 of the cases, of 200 pairs in less than 0.02.
assert lucky[10] > 0.3 and lucky[200] < 0.02

# %% [markdown]
# ## Fill a hole
#
# Write the agreement of people and a metric. `votes` holds 1 where people prefer the first text, -1 for the second, and
# zero for a tie. `differences` holds the metric of the first less the one of the second. Ties of people are left out. A
# tie of the metric counts as half. Where nothing is left, return one half.


# %% tags=["hole"]
def agreement(votes: list[int], differences: list[float]) -> float:
    """The share of pairs on which the metric prefers what people prefer."""
    ### BEGIN SOLUTION
    points = [
        0.5 if difference == 0 else float((difference > 0) == (vote > 0))
        for vote, difference in zip(votes, differences)
        if vote
    ]
    return sum(points) / len(points) if points else 0.5
    ### END SOLUTION


# %% tags=["test"]
assert agreement([1, -1], [0.2, 0.1]) == 0.5, "agreement: the metric agrees where both prefer the same text"
### BEGIN HIDDEN TESTS
assert agreement([1, 0, 0], [0.2, 0.1, -0.3]) == 1.0, "agreement: pairs that people call a tie are left out"
assert agreement([1, -1, -1, -1], [0.0, -0.1, -0.2, -0.1]) == 0.875, "agreement: a tie of the metric counts as half"
assert agreement([0, 0], [0.1, 0.2]) == 0.5, "agreement: where nothing is left, return one half"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.3c/agreement", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab2.3c/coin", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.3c/denied", my_choice)

# %% [markdown]
# ## What this does not show
#
# These pairs were made so that the metric fails. Between full fine-tuning and LoRA the texts are alike in kind, and
# whether ROUGE agrees with people there is to be measured: `luthier rate` on your study counts it.
