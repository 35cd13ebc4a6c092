# %% [markdown]
# # 1.21 Quiz of week 1
#
# The quiz asks questions of all lessons of the week. Its numbers are yours alone. In this lesson you see how questions
# are drawn and marked, and take a small one. Then you read results, as every study shows them: with intervals and
# seeds.

# %% [markdown]
# ## Predict
#
# Two hundred learners get the question of lesson 1.18 about memory. How many different texts of it are there among
# them?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Picture, Table, show

my_guess = None  # @param {type:"integer"}
predict("1.21/different", my_guess)

# %% [markdown]
# ## Run: one question, many learners
#
# A question is a rule, and not a text. It draws its numbers by a seed. The seed is made of three things: a salt of the
# class, the learner's name, and the question's name. So the same learner always gets the same numbers.

# %%
from luthier.course import deck
from luthier.course.desk import Desk

desks = [Desk("a salt", f"learner {number}") for number in range(200)]
texts = {desk.question("1.18/memory").text for desk in desks}
print(desks[0].question("1.18/memory").text)
print(desks[1].question("1.18/memory").text)
print(f"{len(texts)} different texts of {len(desks)}")

# %% tags=["claim"]
# More than 180 of 200 learners have a text that is theirs. The same learner gets the same text again.
assert len(texts) > 180
assert desks[0].question("1.18/memory").text == Desk("a salt", "learner 0").question("1.18/memory").text
# Another try has other numbers.
assert desks[0].question("1.18/memory", take=1).text != desks[0].question("1.18/memory").text

# %% [markdown]
# ## Run: what a mark says
#
# With each question comes a formula for each known mistake. Here is what the mark says to the right answer, to some
# mistakes, and to something that is no number.

# %%
asked = desks[0].question("1.18/memory")
print(asked.text)
for typed in (f"{asked.answer:.4g} GB", *(f"{value:.4g}" for value in asked.wrong.values()), "about a lot"):
    mark = asked.mark(typed)
    print(f"{typed!r}: {'right' if mark.right else 'not right' if mark.readable else 'not readable'}")
    print(f"    {mark.misconception or mark.says}")

# %% [markdown]
# Each mistake has its own number, so the mark can name it. A draw where two of these numbers come close is thrown away.
# Nobody is right by accident.

# %% tags=["claim"]
# The right answer is right, and every wrong one is told by its mistake, over 100 learners.
for desk in desks[:100]:
    one = desk.question("1.18/memory")
    assert one.mark(f"{one.answer:.3g}").right
    assert all(one.mark(str(value)).misconception == why for why, value in one.wrong.items())

# %% [markdown]
# ## Turn a dial: a small quiz
#
# Write your name, and draw a quiz. A second try has new numbers and other questions. The real quiz (`luthier quiz 1`)
# asks two questions of each row of the week, the labs too. At least one of the two is computed. This one has as many as
# you like, and leaves the labs out.

# %% tags=["dials"]
learner = "me"  # @param {type:"string"}
try_number = 0  # @param {type:"slider", min:0, max:5, step:1}
count = 4  # @param {type:"slider", min:1, max:10, step:1}

# %%
import random

from luthier.course.question import Question, seed_of
from luthier.course.quiz import draw_quiz


def drawn(learner: str, try_number: int, count: int) -> list[str]:
    """The names of a quiz's questions: one of each row that is drawn, in the order of the syllabus."""
    by_row: dict[str, list[str]] = {}
    for one in deck.every_question(week=1):
        if not one.row.startswith("lab"):
            by_row.setdefault(one.row, []).append(one.item)
    dice = random.Random(seed_of("a small quiz", learner, str(try_number)))
    chosen = set(dice.sample(sorted(by_row), min(count, len(by_row))))
    return [dice.choice(items) for row, items in by_row.items() if row in chosen]


mine = Desk("a small quiz", learner)
items = drawn(learner, try_number, count)
for number, item in enumerate(items, 1):
    print(f"{number}. {mine.question(item, try_number).text}\n")

# %% [markdown]
# Write your first four answers here, one below the other, and run the next cell again.

# %% tags=["question"]
first = ""  # @param {type:"string"}
second = ""  # @param {type:"string"}
third = ""  # @param {type:"string"}
fourth = ""  # @param {type:"string"}

# %%
rows = []
for item, typed in zip(items, (first, second, third, fourth)):
    mark = mine.question(item, try_number).mark(typed) if typed else None
    rows.append((item, "no answer" if mark is None else "right" if mark.right else "not right"))
    if mark is not None:
        print(f"{item}: {mark.says}")
show(Table(("question", "mark"), rows))

# %% tags=["claim"]
# The same name and try give the same quiz. Over 20 tries there are more than 10 different ones.
assert drawn("me", 0, 4) == drawn("me", 0, 4)
assert len({tuple(drawn("me", one, 4)) for one in range(20)}) > 10
# The real quiz asks two questions of each row, and at least half of them are computed.
real = [one.question for one in draw_quiz(1, mine)]
assert all([one.row for one in real].count(row.id) == 2 for row in deck.rows() if row.week == 1)
assert sum(isinstance(one, Question) for one in real) >= len(real) / 2

# %% [markdown]
# ## Read a result
#
# A study compares two arms on the same dialogues. It gives the mean difference with an interval. Before the run you
# said which difference would matter: the margin. Here the margin is `0.02`. The grey band is what would not matter.

# %%
from luthier.stats.intervals import Interval
from luthier.stats.simultaneous import verdict

MARGIN = 0.02
seen = {"A": (0.004, 0.031), "B": (-0.013, 0.009), "C": (-0.018, 0.044), "D": (-0.052, -0.011)}


def picture(intervals: dict[str, tuple[float, float]]) -> Picture:
    """Intervals as lines, over a band of differences that do not matter."""

    def x(value: float) -> float:
        return 190 + 2600 * value

    lines = [f'<rect x="{x(-MARGIN)}" y="0" width="{5200 * MARGIN}" height="130" fill="#999999" fill-opacity="0.25"/>']
    lines.append(f'<line x1="{x(0)}" x2="{x(0)}" y1="0" y2="130" stroke="currentColor"/>')
    for row, (name, (low, high)) in enumerate(intervals.items()):
        y = 22 + 30 * row
        lines.append(f'<text x="4" y="{y + 5}">{name}</text>')
        lines.append(f'<line x1="{x(low)}" x2="{x(high)}" y1="{y}" y2="{y}" stroke="#0072B2" stroke-width="4"/>')
    size = 'viewBox="0 0 350 130" width="350" fill="currentColor"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(lines)}</svg>'
    words = "; ".join(f"{name} from {low:+.3f} to {high:+.3f}" for name, (low, high) in intervals.items())
    return Picture(svg, f"Intervals of four differences: {words}.")


show(picture(seen))
for name, ends in seen.items():
    print(f"{name}: {verdict(Interval(*ends), margin=MARGIN, n=60, nonzero=60)}")

# %% [markdown]
# A lies above zero: better. D lies below: worse. B holds zero and lies inside the band: for our purpose the two are
# equal. C holds zero and reaches out of the band. It says that you cannot tell. Most studies with few rows end like C.
#
# ## Fill a hole
#
# Write the rule.


# %% tags=["hole"]
def reads(low: float, high: float, margin: float) -> str:
    """ "better", "worse", "equivalent" or "cannot tell", from an interval of a difference."""
    ### BEGIN SOLUTION
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "equivalent" if -margin < low and high < margin else "cannot tell"
    ### END SOLUTION


# %% tags=["test"]
assert reads(0.004, 0.031, 0.02) == "better", "reads: an interval above zero is better"
assert reads(-0.052, -0.011, 0.02) == "worse", "reads: an interval below zero is worse"
assert reads(-0.018, 0.044, 0.02) == "cannot tell", "reads: an interval that holds zero and is wide cannot tell"
### BEGIN HIDDEN TESTS
assert reads(-0.013, 0.009, 0.02) == "equivalent", (
    "reads: an interval that holds zero, inside the margin, is equivalent"
)
assert reads(0.004, 0.011, 0.02) == "better", "reads: above zero is better, even where it is less than the margin"
### END HIDDEN TESTS

# %% tags=["claim"]
# The rule is that of luthier's studies, for all intervals of a grid.
for low in range(-60, 60, 7):
    for width in range(1, 90, 8):
        ends = Interval(low / 1000, (low + width) / 1000)
        assert reads(*ends, MARGIN) == verdict(ends, margin=MARGIN, n=60, nonzero=60)

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.21/low-end", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.21/seeds", my_other_answer)

# %% tags=["question"]
my_third_answer = ""  # @param {type:"string"}
ask("1.21/several", my_third_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.21/one-seed", my_choice)

# %% [markdown]
# ## What this does not show
#
# The quiz knows the mistakes that somebody has thought of. Any other mistake is marked as not right, and nothing more.
# And a computed question asks whether you can work something out. Whether you would have thought of working it out is
# another matter. The labs ask for that.
