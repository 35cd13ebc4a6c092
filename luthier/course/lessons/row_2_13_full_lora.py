# %% [markdown]
# # 2.13 Full fine-tuning against LoRA
#
# Two trainings of one model have answered the same dialogues. One moved all parameters. The other moved only LoRA's
# few. Which is better? In this lesson you read the table that answers it. You find out what it has to count: rows or
# dialogues.

# %% [markdown]
# ## Predict
#
# A test set has 60 dialogues. Each has three reference summaries, so there are 180 rows of scores. Two arms are equal
# in truth. Somebody computes a 95 % interval over the 180 rows. In how many percent of such studies does he find a
# difference that is not there?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_percent = None  # @param {type:"number"}
predict("2.13/false-alarms", my_guess_percent)
# The setting: 60 dialogues, 180 rows, 95 % intervals.

# %% [markdown]
# ## Run: one study, counted in two ways
#
# The scores here are drawn by a seed, so that the truth is known. A dialogue is hard or easy. It also suits one arm
# more than the other. Its three rows share both. Only a little noise belongs to a row alone.

# %% tags=["dials"]
references = 3  # @param {type:"slider", min:1, max:6, step:1}
gain = 0.0  # @param {type:"slider", min:0, max:0.05, step:0.005}

# %%
import random

import luthier
from luthier.records import Score

DIALOGUES = 60


def scores_of(seed: int, references: int, gain: float, by_row: bool = False) -> dict[str, list[Score]]:
    """Scores of both arms. `by_row` calls each row a unit of its own."""
    dice = random.Random(f"full-lora-{seed}")
    arms: dict[str, list[Score]] = {"full": [], "lora": []}
    for dialogue in range(DIALOGUES):
        easy, suits = dice.gauss(0.35, 0.08), dice.gauss(gain, 0.06)
        for reference in range(references):
            row = f"dialogue-{dialogue}-{reference}"
            unit = row if by_row else f"dialogue-{dialogue}"
            for arm, own in (("full", suits / 2), ("lora", -suits / 2)):
                value = min(1.0, max(0.0, easy + own + dice.gauss(0, 0.02)))
                arms[arm].append(Score(row, unit, {"rouge1": value}))
    return arms


def pair_of(arms: dict[str, list[Score]]) -> dict:
    """Full fine-tuning against LoRA, as a study's compare.json holds it."""
    return luthier.compare(arms, deciding="rouge1", margin=0.02, baselines=())["pairs"][0]


by_dialogue = pair_of(scores_of(1, references, gain))
by_row = pair_of(scores_of(1, references, gain, by_row=True))
lines = [
    (name, pair["n"], f"{pair['difference']:+.4f}", f"{pair['low']:+.4f}", f"{pair['high']:+.4f}", pair["verdict"])
    for name, pair in (("by dialogue", by_dialogue), ("by row", by_row))
]
show(Table(("counted", "n", "full - lora", "low", "high", "verdict"), lines))

# %% [markdown]
# The difference is the same. The interval by row is much shorter. It behaves as if three references were three
# dialogues. But the score of a second reference says nearly the same as that of the first.

# %% tags=["claim"]
# Three references: by dialogue n is 60, by row 180. The mean stays; the half width by row is over 1.5 times smaller.
dialogues, rows = pair_of(scores_of(1, 3, 0.0)), pair_of(scores_of(1, 3, 0.0, by_row=True))
assert (dialogues["n"], rows["n"]) == (60, 180)
assert abs(dialogues["difference"] - rows["difference"]) < 1e-9
assert dialogues["high"] - dialogues["low"] > 1.5 * (rows["high"] - rows["low"])

# %% [markdown]
# ## Is the shorter one better?
#
# Now two arms that are equal in truth are compared many times. An honest 95 % interval leaves out zero in five of 100
# studies.

# %%
from luthier.stats.intervals import by_unit, paired

STUDIES = 200


def false_alarms(references: int, by_row: bool) -> float:
    """Share of studies of two equal arms whose interval leaves out zero."""
    found = 0
    for seed in range(STUDIES):
        arms = scores_of(seed, references, 0.0, by_row)
        full, lora = (
            by_unit([one.values["rouge1"] for one in own], [one.unit for one in own])[0] for own in arms.values()
        )
        low, high = paired(full, lora).interval(0.95)
        found += low > 0 or high < 0
    return found / STUDIES


honest, naive = false_alarms(3, by_row=False), false_alarms(3, by_row=True)
show(bars("Studies that find what is not there", [("by dialogue", 100 * honest), ("by row", 100 * naive)], "%"))

# %% [markdown]
# Counted by dialogue, about 5 % of the studies raise a false alarm. That is what a 95 % interval promises. Counted by
# row, more than 15 % do.

# %% tags=["claim"]
# Near 0.05 by dialogue (of 100 studies, five), above 0.15 by row.
assert 0.01 < honest < 0.10
assert naive > 0.15 and naive > 2 * honest

# %% [markdown]
# ## Fill a hole
#
# Write the half width of the interval. First take the mean difference of each unit. Then take the standard deviation of
# these means: the sum of the squares is divided by the number of units less one. Multiply it by two, and divide by the
# root of the number of units. (Two is a round value for Student's t.)


# %% tags=["hole"]
def half_width(differences: list[float], units: list[str]) -> float:
    """Half the length of the interval of the mean difference; a row's unit stands at its place in `units`."""
    ### BEGIN SOLUTION
    own: dict[str, list[float]] = {}
    for difference, unit in zip(differences, units):
        own.setdefault(unit, []).append(difference)
    means = [sum(rows) / len(rows) for rows in own.values()]
    middle = sum(means) / len(means)
    variance = sum((mean - middle) ** 2 for mean in means) / (len(means) - 1)
    return 2 * (variance / len(means)) ** 0.5
    ### END SOLUTION


# %% tags=["test"]
assert abs(half_width([0.0, 0.2], ["a", "b"]) - 0.2) < 1e-9, (
    "half_width: divide the squares by one less than the number of units, and take twice the error of the mean"
)
### BEGIN HIDDEN TESTS
assert abs(half_width([0.0, 0.0, 0.2, 0.2], ["a", "a", "b", "b"]) - 0.2) < 1e-9, (
    "half_width: rows of one dialogue are one unit, so a second equal row changes nothing"
)
assert abs(half_width([0.0, 0.2, 0.2, 0.2], ["a", "b", "b", "b"]) - 0.2) < 1e-9, (
    "half_width: each dialogue counts once, however many rows it has"
)
### END HIDDEN TESTS

# %% [markdown]
# ## The length of the answers
#
# ROUGE depends on the length of an answer. Fine-tuned models differ in length. So a study also cuts all answers to
# equal length and compares them again. Here are two arms that need no model. One copies the first four lines of a
# dialogue, and the other copies twelve.

# %%
from luthier.adapt.baselines import Copy, copied
from luthier.verdicts.equal_length import at_equal_length

task = luthier.load_task("dialogues")
answers = {f"copy-{lines}": copied(Copy(lines=lines), task.train, task.test) for lines in (4, 12)}
scored = {name: luthier.score(own, task.test, ["rouge1"]) for name, own in answers.items()}
equal = at_equal_length(answers, scored, task.test, task.dev, "rouge1", 0.02, 0.95)
lines = [
    (
        "as answered" if row.budget is None else f"cut to {row.budget}",
        *[f"{row.arms[name].mean:.3f}" for name in answers],
        row.verdicts[0].verdict,
    )
    for row in equal.rows
]
show(Table(("length", *answers, "copy-4 is"), lines))
words = {name: sum(len(one.text.split()) for one in own) / len(own) for name, own in answers.items()}
print("words of an answer:", {name: round(count) for name, count in words.items()})

# %% [markdown]
# With whole answers one of the two arms seems better. Cut to the same number of words they are much nearer, since both
# begin alike. So the difference was length. Look at this table before you praise a training.

# %% tags=["claim"]
# Cut to the shortest limit, copy-4 and copy-12 differ by less than half of what they differ by as answered.
apart = [abs(row.arms["copy-4"].mean - row.arms["copy-12"].mean) for row in equal.rows]
assert apart[1] < apart[0] / 2
assert words["copy-12"] > 2 * words["copy-4"]

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.13/half-width", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.13/narrower", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.13/references", my_choice)

# %% [markdown]
# ## What this does not show
#
# The scores of the two arms were drawn, not measured. So nothing here says that full fine-tuning or LoRA is better.
# That takes a study with your task: `luthier study dialogues --arms full,lora`. And more references do help a little:
# they make the score of each dialogue steadier.
