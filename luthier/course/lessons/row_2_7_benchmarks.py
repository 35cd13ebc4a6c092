# %% [markdown]
# # 2.7 Benchmarks
#
# A benchmark asks a model many questions and counts what is right. Then models stand in a list, the best on top. In
# this lesson you run a small benchmark on a real model, and see how much of such a list is order and how much is luck.

# %% [markdown]
# ## Predict
#
# One model has 72.1 % of 500 questions right, another one 71.8 %. Each share has an interval, which says how far chance
# may have moved it. How many percentage points does the interval reach to each side?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"number"}
predict("2.7/half-width", my_guess)
# The list: 72.1 % and 71.8 % of 500 questions.

# %% [markdown]
# ## Run: answers by likelihood
#
# A model need not write an answer. We can ask how likely each option is behind the question, and take the likeliest.
# Most benchmarks of multiple choice work this way. It takes no sampling, so the same run gives the same number.

# %%
import luthier
from luthier.decoding.likelihood import reference_nats
from luthier.records import Prompt

QUESTIONS = [
    ("Snow melts and becomes", "water", "sand", "smoke", "glass"),
    ("A baker bakes", "bread", "roads", "songs", "shoes"),
    ("At night the sky is", "dark", "wooden", "salty", "angry"),
    ("A bird flies with its", "wings", "teeth", "roots", "wheels"),
    ("We hear with our", "ears", "knees", "hair", "nails"),
    ("A week has seven", "days", "months", "wheels", "legs"),
    ("The opposite of hot is", "cold", "loud", "green", "early"),
    ("A fish lives in the", "water", "oven", "desert", "lamp"),
    ("To open a locked door you need a", "key", "spoon", "cloud", "song"),
    ("Cows give", "milk", "coal", "paper", "wool"),
    ("The capital of Italy is", "Rome", "Oslo", "Cairo", "Lima"),
    ("Two plus two is", "four", "nine", "zero", "one"),
]
model = luthier.load("smollm2-135m")


def ids(text: str) -> tuple[int, ...]:
    return tuple(model.tokenizer(text)["input_ids"])


def chosen(question: str, options: tuple[str, ...]) -> int:
    """The place of the option that is the likeliest behind the question."""
    prompts = [Prompt(option, question, ids(question), ids(f" {option}")) for option in options]
    nats = reference_nats(model, prompts)
    return min(range(len(options)), key=nats.__getitem__)


right = [chosen(question, tuple(options)) == 0 for question, *options in QUESTIONS]
again = [chosen(question, tuple(options)) == 0 for question, *options in QUESTIONS]
missed = [question for (question, *_), ok in zip(QUESTIONS, right) if not ok]
print(f"{sum(right)} of {len(right)} right; missed: {missed or 'none'}")
print("the same run again gives the same answers:", right == again)

# %% [markdown]
# ## The interval of a share
#
# Twelve questions are few. Wilson's interval says which true shares could have given this count.

# %%
from luthier.stats.intervals import mcnemar, wilson

low, high = wilson(sum(right), len(right))
print(f"{sum(right)} of {len(right)}: the true share may lie from {low:.2f} to {high:.2f}")

# %% tags=["dials"]
share = 72.1  # @param {type:"slider", min:1, max:99, step:0.1}
asked = 500  # @param {type:"slider", min:20, max:20000, step:20}

# %%
low, high = wilson(asked * share / 100, asked)
print(f"{share} % of {asked:,} questions: {100 * low:.1f} to {100 * high:.1f} %")
reach = {n: 50 * (wilson(0.721 * n, n).high - wilson(0.721 * n, n).low) for n in (20, 100, 500, 2_000, 10_000)}
show(bars("Points to each side, by questions", [(f"{n:,} questions", one) for n, one in reach.items()], "points"))

# %% [markdown]
# With 500 questions a share of 72.1 % reaches almost four points to each side. The other model's 71.8 % lies far
# inside. The list shows an order, and the numbers do not.

# %% tags=["claim"]
# 72.1 % of 500: between 3 and 4 points to each side, so 71.8 % lies inside. Ten times fewer points take 100 times
# as many questions.
assert 3 < reach[500] < 4
assert wilson(0.721 * 500, 500).low < 0.718
assert right == again
assert 9 < wilson(50, 100).high * 100 - 50 < 10 and 0.9 < wilson(5_000, 10_000).high * 100 - 50 < 1

# %% [markdown]
# ## The same questions for both
#
# Two models answer the same questions. Then only those count on which they differ. Say model A alone is right on
# twelve, and model B alone on nine. McNemar's test asks: is that more than the toss of a coin?

# %%
show(Table(("only A right", "only B right", "p"), [(a, b, f"{mcnemar(a, b):.3f}") for a, b in ((12, 9), (40, 20))]))

# %% tags=["claim"]
# Twelve against nine is a coin (p above 0.5); 40 against 20 is not (p below 0.05).
assert mcnemar(12, 9) > 0.5
assert mcnemar(40, 20) < 0.05

# %% [markdown]
# ## The letters
#
# Other benchmarks show the options as A, B, C and D, and ask for the letter. Turn the options by one place, and the
# right letter changes. A model that knows the answer follows. Watch this small one.

# %%
import torch

LETTERS = "ABCD"
letter_ids = [ids(f" {letter}")[0] for letter in LETTERS]


@torch.inference_mode()
def letter(question: str, options: list[str]) -> int:
    """The place of the letter that the model finds likeliest."""
    lines = "\n".join(f"{name}. {option}" for name, option in zip(LETTERS, options))
    text = f"Question: {question} ...\n{lines}\nAnswer:"
    logits = model.module(input_ids=torch.tensor([ids(text)])).logits[0, -1]
    return int(logits[letter_ids].argmax())


said = [[0] * 4 for _ in range(4)]  # where the right option stands -> the letters that were said
for question, *options in QUESTIONS[:6]:
    for turn in range(4):
        turned = options[-turn:] + options[:-turn] if turn else options
        said[turn][letter(question, turned)] += 1
show(Table(("right letter", *[f"says {one}" for one in LETTERS]), [(LETTERS[at], *row) for at, row in enumerate(said)]))
counts = [sum(column) for column in zip(*said)]
by_letter = sum(said[at][at] for at in range(4))
print(f"letters said: {dict(zip(LETTERS, counts))}; right {by_letter} of 24")

# %% [markdown]
# Each letter was the right one equally often. The model does not say them equally often. It likes a letter, whatever
# stands there. The same model knew most answers when it was asked by likelihood. So a benchmark measures the way of
# asking too.

# %% tags=["claim"]
# Each letter is right 6 times of 24. Some letter is said at least 9 times. By likelihood the model has more right.
assert sum(counts) == 24 and max(counts) >= 9
assert sum(right) / len(right) > by_letter / 24

# %% [markdown]
# ## Fill a hole
#
# Write how much of a list is order. `counts` holds how many questions each model has right, best first; all were asked
# `n`. Return how many models may be as good as the first: those whose count is at most `2 * root(n / 2)` below it, the
# first one included. (That is twice the largest standard error that a difference of two such counts can have.)


# %% tags=["hole"]
def not_behind(counts: list[int], n: int) -> int:
    """How many models of the list are not shown to be behind the first."""
    ### BEGIN SOLUTION
    reach = 2 * (n / 2) ** 0.5
    return sum(counts[0] - count <= reach for count in counts)
    ### END SOLUTION


# %% tags=["test"]
assert not_behind([360, 359, 200], 500) == 2, "not_behind: one question less is no order; count the first as well"
### BEGIN HIDDEN TESTS
assert not_behind([360, 340, 300], 500) == 2, "not_behind: the reach is in questions, 2 * root(n / 2)"
assert not_behind([100, 85, 70, 55], 200) == 2, "not_behind: compare each with the first, not with the one above"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.7/interval", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.7/questions", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.7/order", my_choice)

# %% [markdown]
# ## What this does not show
#
# Our questions are few and easy, and we wrote them. A real benchmark has thousands. An interval speaks of chance alone.
# It does not know whether the model read the questions in its training, and whether they ask for what you need.
