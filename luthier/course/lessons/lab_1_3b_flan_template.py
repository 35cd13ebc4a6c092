# %% [markdown]
# # Lab 1.3b Zero shot with FLAN-T5's template
#
# The same task can be put in many ways. FLAN-T5 was trained with several templates for each task. One of them puts the
# question behind the dialogue. Here you compare two templates on the same dialogues, and find the right word for
# what you saw.

# %% [markdown]
# ## Predict
#
# One template says before the dialogue: Summarize the following conversation. The other asks behind it: What was going
# on? Which one has the higher mean ROUGE-1 on six dialogues, `"before"` or `"behind"`? And on how many of the six does
# it win?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Picture, Table, show

my_guess_higher = ""  # @param ["", "before", "behind"]
my_guess_wins = None  # @param {type:"integer"}
predict("lab1.3b/higher", my_guess_higher)
predict("lab1.3b/wins", my_guess_wins)

# %% [markdown]
# ## Turn a dial: two templates
#
# The task of this course has four templates. Choose two of them.

# %% tags=["dials"]
first = "plain"  # @param ["plain", "question", "brief", "facts"]
second = "question"  # @param ["plain", "question", "brief", "facts"]

# %%
import luthier
from luthier.decoding.generate import answered

task = luthier.load_task("dialogues")
model = luthier.load("smollm2-135m")
dialogues = sorted(task.test, key=lambda example: len(example.input))[:6]
for name in (first, second):
    print(f"{name}: {task.template(name)!r}")

# %% [markdown]
# ## Run: the same six dialogues under both
#
# Each answer has at most fifty tokens, and is greedy. So chance plays no part in the answers. It plays a part in which
# six dialogues these are.

# %%


def rouge_1(template: str, most: int = 50) -> list[float]:
    """ROUGE-1 of each dialogue's answer under a template."""
    text = task.template(template)
    asked = [luthier.Request(one.id, model.renderer.prompt(one, text, room=most).prompt_ids, most) for one in dialogues]
    answers = answered(model, asked)
    print(f"{template}: {answers[0].text[:90]!r}")
    return [score.values["rouge1"] for score in luthier.score(answers, dialogues, ["rouge1"])]


a, b = rouge_1(first), rouge_1(second)
rows = [(one.id, f"{x:.3f}", f"{y:.3f}", f"{x - y:+.3f}") for one, x, y in zip(dialogues, a, b)]
show(Table(("dialogue", first, second, "difference"), rows))

# %% [markdown]
# ## Paired, and not paired
#
# The two columns belong together, row by row. So look at the differences. Their interval differs from that of two
# columns that have nothing to do with each other.

# %%
import math
from statistics import stdev

from luthier.stats.intervals import Interval, paired, t_quantile
from luthier.stats.simultaneous import verdict


def apart(a: list[float], b: list[float]) -> tuple[float, float]:
    """The interval of the difference as if the columns had nothing to do with each other."""
    middle = sum(a) / len(a) - sum(b) / len(b)
    reach = t_quantile(0.975, 2 * len(a) - 2) * math.hypot(stdev(a), stdev(b)) / math.sqrt(len(a))
    return middle - reach, middle + reach


def lines(intervals: dict[str, tuple[float, float]]) -> Picture:
    """Intervals as lines, with zero."""
    far = max(abs(end) for ends in intervals.values() for end in ends)
    parts = ['<line x1="190" x2="190" y1="0" y2="70" stroke="currentColor"/>']
    for row, (name, (low, high)) in enumerate(intervals.items()):
        y, left, right = 28 + 32 * row, 190 + 150 * low / far, 190 + 150 * high / far
        parts.append(f'<text x="0" y="{y - 8}" font-size="13">{name}</text>')
        parts.append(f'<line x1="{left:.0f}" x2="{right:.0f}" y1="{y}" y2="{y}" stroke="#0072B2" stroke-width="4"/>')
    size = 'viewBox="0 0 350 70" width="350" fill="currentColor"'
    words = "; ".join(f"{name} {low:+.3f} to {high:+.3f}" for name, (low, high) in intervals.items())
    return Picture(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>', f"95 % intervals: {words}."
    )


difference = paired(a, b)
ends = difference.interval(0.95)
show(lines({"paired": ends, "not paired": apart(a, b)}))
word = verdict(ends, margin=task.spec.decide.margin, n=difference.n, nonzero=difference.nonzero)
wins = sum(x > y for x, y in zip(a, b))
print(f"{first} is higher on {wins} of 6; mean difference {difference.value:+.3f}")
print(f"the verdict of a study: {word}")

# %% [markdown]
# Whatever the interval says, the verdict is "cannot tell". A study gives no other one below twenty dialogues. The
# standard deviation of six numbers is itself only guessed. One odd dialogue can make it far too small.
#
# That does not mean that both templates are equal. It means that you need more dialogues before you may choose.

# %% tags=["claim"]
# Six dialogues give the verdict "cannot tell", whatever they say: fewer than 20.
assert word == "cannot tell"
assert verdict(Interval(0.1, 0.2), margin=0.02, n=19, nonzero=19) == "cannot tell"
assert verdict(Interval(0.1, 0.2), margin=0.02, n=20, nonzero=20) == "better"
# The paired difference has the mean of the unpaired one.
assert math.isclose(difference.value, sum(a) / 6 - sum(b) / 6, abs_tol=1e-9)

# %% [markdown]
# ## Fill a hole
#
# Write the paired comparison. Return the mean difference and its standard error. Divide the squares by n - 1.


# %% tags=["hole"]
def paired_difference(a: list[float], b: list[float]) -> list[float]:
    """[mean of a - b, its standard error], over rows that belong together."""
    ### BEGIN SOLUTION
    differences = [x - y for x, y in zip(a, b)]
    return [sum(differences) / len(a), stdev(differences) / math.sqrt(len(a))]
    ### END SOLUTION


# %% tags=["test"]
assert paired_difference([0.0, 2.0], [0.0, 0.0]) == [1.0, 1.0], (
    "paired_difference: the standard error has the root of n"
)
### BEGIN HIDDEN TESTS
assert paired_difference([1.0, 5.0], [0.0, 4.0]) == [1.0, 0.0], (
    "paired_difference: where a is always one more than b, nothing is unsure"
)
assert paired_difference([1.0, 2.0, 6.0], [2.0, 2.0, 2.0])[0] == 1.0, "paired_difference: the sign is that of a - b"
### END HIDDEN TESTS

# %% tags=["claim"]
# The hole's standard error is the one that luthier uses.
assert math.isclose(paired_difference(a, b)[1], difference.sd / math.sqrt(6), rel_tol=1e-6)

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab1.3b/paired-error", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab1.3b/wins", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab1.3b/verdict", my_choice)

# %% [markdown]
# ## What this does not show
#
# FLAN-T5 saw its own templates in training, and SmolLM2 did not. So nothing here says how FLAN-T5 does with them.
# And a higher ROUGE-1 may come from copying: read what both templates made. The study at the end of this lab compares
# them on more dialogues.
