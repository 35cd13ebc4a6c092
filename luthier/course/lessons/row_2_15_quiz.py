# %% [markdown]
# # 2.15 Quiz of week 2
#
# The quiz of this week asks about all lessons of the week. Its numbers are yours alone. In this lesson you see how a
# quiz is drawn and marked, and you mark a small one yourself. Its own questions are about verdicts and intervals. The
# whole quiz is `luthier quiz 2`.

# %% [markdown]
# ## Predict
#
# A quiz has 20 questions, each with four options. Somebody guesses all of them. How many does he get right on average?
# And in how many of 100 quizzes has he eight or more right?

# %% tags=["predict"]
from luthier.course.desk import Desk, ask, predict
from luthier.course.shown import Table, bars, show

# 20 questions of four options, in 100 quizzes.
my_guess_mean = None  # @param {type:"number"}
my_guess_eight = None  # @param {type:"number"}
predict("2.15/mean", my_guess_mean)
predict("2.15/eight", my_guess_eight)

# %% [markdown]
# ## Run: what guessing brings

# %%
from math import comb


def at_least(right: int, of: int, options: int) -> float:
    """The chance that pure guessing has at least so many right."""
    p = 1 / options
    return sum(comb(of, k) * p**k * (1 - p) ** (of - k) for k in range(right, of + 1))


show(bars("Chance of at least so many right by guessing", [(f"{k} of 20", at_least(k, 20, 4)) for k in (3, 5, 8, 10)]))

# %% [markdown]
# The guesser has five right on average, and eight or more in one quiz of ten. A number that has to be computed cannot
# be guessed. That is why at least half of our questions are computed.

# %% tags=["claim"]
# 20 questions with four options: five right on average. Eight or more in 0.10 of the quizzes, ten or more in 0.014.
assert 20 / 4 == 5
assert round(at_least(8, 20, 4), 2) == 0.10
assert round(at_least(10, 20, 4), 3) == 0.014

# %% [markdown]
# ## How a quiz is drawn
#
# A seed follows from three things: a salt of the class, the learner's name and the question's name. The same three give
# the same numbers, on every machine. Another learner has other numbers, so answers cannot be copied. A retake is
# another take, and has other numbers too.

# %% tags=["dials"]
learner = "ada"  # @param {type:"string"}
take = 0  # @param {type:"slider", min:0, max:5, step:1}

# %%
desk = Desk("salt of a class", learner)
item = "2.15/margin"
print(desk.question(item, take).text)
print("\nthe next take:\n" + desk.question(item, take + 1).text)
print("\nanother learner:\n" + Desk("salt of a class", "grace").question(item, take).text)

# %% tags=["claim"]
# The same learner and take: the same question. Another take or learner: other numbers.
one, same = desk.question(item, take), Desk("salt of a class", learner).question(item, take)
assert one.text == same.text and one.answer == same.answer
assert one.values != desk.question(item, take + 1).values
assert one.values != Desk("salt of a class", learner + "'s twin").question(item, take).values

# %% [markdown]
# ## How an answer is marked
#
# Each question knows the answers of people who are mistaken in a known way. A mark names the mistake. For this to work,
# the numbers are drawn again until all these answers lie well apart.

# %%
asked = desk.question(item, take)
rows = [("right", f"{asked.answer:.4g}"), *[(why[:60], f"{value:.4g}") for why, value in asked.wrong.items()]]
show(Table(("who answers so", "answer"), rows))
for typed in (f"{asked.answer:.3g}", str(next(iter(asked.wrong.values()))), "12345", "a lot"):
    mark = asked.mark(typed)
    print(f"{typed!r}: {'right' if mark.right else 'not right'}; {mark.misconception or mark.says}")

# %% tags=["claim"]
# Three digits are enough. Each wrong answer lies at least three tolerances of 0.005 away, and is named.
assert asked.mark(f"{asked.answer:.3g}").right
for why, value in asked.wrong.items():
    assert abs(value - asked.answer) > 3 * 0.005 * abs(asked.answer)
    assert asked.mark(str(value)).misconception == why

# %% [markdown]
# ## Mark a small quiz
#
# Here are three questions of the week with somebody's answers. Which are right? Say so before you run the next cell.
# A letter for each: r for right, w for wrong, such as `rwr`.

# %%
items = ("2.15/margin", "2.15/dialogues", "2.15/verdict")
small = [desk.question(item, take) for item in items]
given = [str(next(iter(small[0].wrong.values()))), f"{small[1].answer:.3g}", str(small[2].answer)]
for one, answer in zip(small, given):
    print(f"{one.text}\n  the answer given: {answer}\n")

# %% tags=["predict"]
my_marks = ""  # @param {type:"string"}
predict("2.15/marks", my_marks)

# %%
from luthier.course.quiz import draw_quiz, result

marks = [one.mark(answer) for one, answer in zip(small, given)]
print("\n".join(result(small, marks)))
truth = "".join("r" if mark.right else "w" for mark in marks)
print(f"the marks are {truth}; you said {my_marks or 'nothing'}")

# %% [markdown]
# The whole quiz takes two questions of each row of the week, one of them computed, in an order of its own.

# %%
whole = draw_quiz(2, desk, take)
computed = sum(bool(one.values) for one in whole)
print(f"the quiz of week 2 has {len(whole)} questions for you, {computed} of them computed")

# %% tags=["claim"]
# At least half of the quiz (0.5) is computed, and a quiz drawn again is the same quiz.
assert computed >= 0.5 * len(whole)
assert [one.text for one in whole] == [one.text for one in draw_quiz(2, desk, take)]
assert truth == "wrr"

# %% [markdown]
# ## Fill a hole
#
# Write the marking of a number. `wrong` maps the name of a mistake to its number. Return `"right"`, the name of the
# mistake, or `"unknown"`. A number is the same as another one if it lies within a share of `tolerance` of it.


# %% tags=["hole"]
def marked(typed: float, answer: float, wrong: dict[str, float], tolerance: float) -> str:
    """'right', the name of a mistake, or 'unknown'."""
    ### BEGIN SOLUTION
    named = {"right": answer, **wrong}
    near = [name for name, value in named.items() if abs(typed - value) <= tolerance * abs(value)]
    return near[0] if near else "unknown"
    ### END SOLUTION


# %% tags=["test"]
assert marked(100.4, 100.0, {"forgot the root": 10.0}, 0.005) == "right", (
    "marked: a number within the tolerance is right; it need not be the exact one"
)
assert marked(10.0, 100.0, {"forgot the root": 10.0}, 0.005) == "forgot the root", "marked: name the mistake"
### BEGIN HIDDEN TESTS
assert marked(1004.0, 1000.0, {"forgot the root": 10.0}, 0.005) == "right", (
    "marked: the tolerance is a share of the answer, so a large answer has more room"
)
assert marked(0.02, 0.01, {"twice": 0.02}, 0.005) == "twice", (
    "marked: the tolerance is a share of the answer, so a small answer has less room"
)
assert marked(-100.2, -100.0, {}, 0.005) == "right", "marked: an answer may be below zero"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.15/margin", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.15/dialogues", my_other_answer)

# %% tags=["question"]
my_verdict = ""  # @param {type:"string"}
ask("2.15/verdict", my_verdict)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.15/overlap", my_choice)

# %% [markdown]
# ## What this does not show
#
# A quiz finds mistakes that somebody thought of. A wrong answer that nobody foresaw is only wrong. And a right number
# can come from a wrong thought. The labs ask for more: there you build, measure and decide.
