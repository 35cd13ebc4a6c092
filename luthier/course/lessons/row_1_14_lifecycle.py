# %% [markdown]
# # 1.14 The life cycle of a project
#
# A project with a language model has a fixed order of steps. Say what is to be done and how it is measured. Look at the
# data. Measure what is there already. Only then adapt a model, measure again, and ship it. In this lesson you take the
# first steps with thirty rows, and some of the rows are bad.

# %% [markdown]
# ## Predict
#
# The rows are short dialogues. Each is about a bank, a clinic or a journey, and a program has to say which. Five test
# rows also stand in the training rows: somebody copied them by mistake. A program takes the label of the most similar
# training row. On what share of the clean test rows is it right? And on what share of all test rows, copied ones
# included? Answer in percent.

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import bars, show

my_guess_clean = None  # @param {type:"number"}
my_guess_with_copies = None  # @param {type:"number"}
predict("1.14/clean", my_guess_clean)
predict("1.14/with-copies", my_guess_with_copies)

# %% [markdown]
# ## Run: the files as they came
#
# The rows come from the task that ships with luthier. Three faults are planted: five leaked rows, one row that stands
# twice, and one row without a label. A seed says which rows they are.

# %%
import csv
import random

import luthier

KINDS = ("bank", "clinic", "travel")
shipped = luthier.load_task("dialogues:kind")


def short_rows(kind: str, count: int = 10) -> list[tuple[str, str]]:
    """(dialogue, kind) of the shortest dialogues of a kind."""
    found = [example for example in (*shipped.train, *shipped.dev, *shipped.test) if example.references == (kind,)]
    return [(example.input, kind) for example in sorted(found, key=lambda one: len(one.input))[:count]]


def split_rows(seed: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Twenty training rows and ten test rows."""
    rows = [row for kind in KINDS for row in short_rows(kind)]
    random.Random(seed).shuffle(rows)
    return rows[:20], rows[20:]


def write(name: str, rows: list[tuple[str, str]]) -> None:
    """A csv file as a spreadsheet would save it."""
    with open(name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("dialogue", "kind"), *rows])


train, test = split_rows(seed=0)
dice = random.Random("faults")
order = dice.sample(range(len(train)), 7)
leaked, twice, empty = [train[at] for at in order[:5]], train[order[5]], order[6]
write("test.csv", [*test, *leaked])
write("train.csv", [*(row if at != empty else (row[0], "") for at, row in enumerate(train)), twice])

# %% [markdown]
# ## First step: init
#
# `init` makes a task of the files: what is asked, on which rows, and how it is decided. It reads every row first.

# %%
import shutil

refused = ""
shutil.rmtree("bad-rows", ignore_errors=True)  # so that the cell can be run again
try:
    luthier.init_task("bad-rows", "train.csv", input="dialogue", labels="kind", test="test.csv")
except luthier.DataError as error:
    refused = str(error)
print(refused)

# %% [markdown]
# It does not begin. One row has no label, so nothing can be learned from it or measured on it. The message names the
# file, the row and the column. Mend the row, and try again.

# %%
write("train.csv", [*train, twice])
shutil.rmtree("bad-rows", ignore_errors=True)
task = luthier.init_task("bad-rows", "train.csv", input="dialogue", labels="kind", test="test.csv")
for split in ("train", "dev", "test"):
    print(f"{split}: {len(task.split(split))} rows")

# %% [markdown]
# ## Second step: check
#
# The task stands. Is it sound? `check` looks at all rows together.

# %%
findings = luthier.check_task(task)
for finding in findings:
    if finding.level != "note":
        print(f"{finding.level}: {finding.text}")

# %% [markdown]
# It finds both other faults: the row that stands twice, and all 5 leaked rows. No one finds these by eye in a file of a
# thousand rows.

# %% tags=["claim"]
# The empty label is refused, with its row. There are two warnings, and one of them counts 5 leaked rows of 15.
assert f"row {empty + 1}," in refused and "no label" in refused
warnings = [finding.text for finding in findings if finding.level == "warning"]
assert len(warnings) == 2
assert any("5 of 15 rows" in text for text in warnings)

# %% [markdown]
# ## Turn a dial: what a leak does to a score
#
# Here is the simplest program: it takes the label of the most similar training row. It needs no model. Its score on ten
# clean rows is honest. Now add leaked rows to the test.

# %% tags=["dials"]
leaks = 5  # @param {type:"slider", min:0, max:20, step:1}
rows_seed = 0  # @param {type:"slider", min:0, max:20, step:1}

# %%
from luthier.adapt.baselines import nearest
from luthier.adapt.settings import Nearest


def examples(rows: list[tuple[str, str]], name: str) -> list[luthier.Example]:
    return [luthier.Example(f"{name}-{at}", text, (kind,)) for at, (text, kind) in enumerate(rows)]


def share_right(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> float:
    """The accuracy of the label of the most similar training row."""
    asked = examples(test, "test")
    answers = nearest(Nearest(neighbours=1), examples(train, "train"), asked)
    scores = luthier.score(answers, asked, labels=KINDS)
    return sum(score.values["accuracy"] for score in scores) / len(scores)


my_train, my_test = split_rows(rows_seed)
honest, too_high = share_right(my_train, my_test), share_right(my_train, [*my_test, *my_train[:leaks]])
show(bars("Accuracy", [("ten clean rows", honest), (f"with {leaks} leaked rows", too_high)]))

# %% [markdown]
# Each leaked row is right, because the most similar training row is the row itself. So the score rises with the number
# of leaks. The program has not become better. It will be as good as on the clean rows when somebody uses it.

# %% tags=["claim"]
# Over ten seeds: leaked rows are all right, and the score with 5 leaks is above the honest one.
for one in range(10):
    some_train, some_test = split_rows(one)
    assert share_right(some_train, some_train[:5]) == 1.0
    assert share_right(some_train, [*some_test, *some_train[:5]]) > share_right(some_train, some_test)

# %% [markdown]
# ## Fill a hole
#
# Find the leaks yourself. Return the places of the test texts that also stand in the training texts. A text is the same
# when only capitals and white space differ.


# %% tags=["hole"]
def leaks_in(train_texts: list[str], test_texts: list[str]) -> list[int]:
    """Places of test texts, from 0, that are training texts as well."""
    ### BEGIN SOLUTION
    seen = {" ".join(text.casefold().split()) for text in train_texts}
    return [at for at, text in enumerate(test_texts) if " ".join(text.casefold().split()) in seen]
    ### END SOLUTION


# %% tags=["test"]
assert leaks_in(["A: Hello.", "B: Bye."], ["C: Yes.", "B: Bye."]) == [1], "leaks_in: a copied text is a leak"
### BEGIN HIDDEN TESTS
assert leaks_in(["A: Hello."], ["a:  hello.\n"]) == [0], "leaks_in: capitals and white space make no other text"
assert leaks_in(["A: Hello."], ["A: Hello. B: Bye."]) == [], "leaks_in: a longer text is another text"
### END HIDDEN TESTS

# %% [markdown]
# ## Third step: clean the rows, and measure what is there
#
# The leaked rows leave the test, and the second copy leaves the training rows. Then a study measures three arms: the
# commonest label, the most similar row, and a model that is simply asked. Nothing is trained yet.

# %%
from pathlib import Path

write("train.csv", train)
write("test.csv", test)
shutil.rmtree("clean-rows", ignore_errors=True)
clean = luthier.init_task("clean-rows", "train.csv", input="dialogue", labels="kind", test="test.csv")
problems = [finding for finding in luthier.check_task(clean) if finding.level != "note"]
print(f"problems: {len(problems)}")
folder = luthier.study("clean-rows", model="smollm2-135m", arms=["majority", "nearest", "zero-shot"], out="study")

# %%
from luthier.results.comparison import Comparison

compared = Comparison.read(Path(folder))
for name, arm in compared.arms.items():
    found = arm["accuracy"]
    print(f"{name}: accuracy {found.mean:.2f}, from {found.low:.2f} to {found.high:.2f}")
verdicts = [pair.verdict for pair in compared.pairs if pair.metric == "accuracy"]
print("verdicts:", ", ".join(verdicts))

# %% [markdown]
# ## Fourth step: the report
#
# The study has written a report. Its first sentence says what to do. Here it says that ten rows are too few to tell.
# That is a result too. Now you know what you need before anything is trained: more test rows.

# %%
report = (Path(folder) / "report.md").read_text(encoding="utf-8")
print(next(line for line in report.split("\n") if line.startswith("**")))

# %% tags=["claim"]
# The clean task has no problem. With ten test rows every verdict is 'cannot tell', and the report says so first.
assert not problems
assert set(verdicts) == {"cannot tell"}
assert "Cannot tell" in report

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.14/leaked-score", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.14/pairs", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.14/next-step", my_choice)

# %% [markdown]
# ## What this does not show
#
# `check` finds copies. It does not find a row that says the same in other words, and it cannot know whether a label is
# wrong. Nor does it know whether your rows are like those that users will send. And a project does not end with the
# report: what is shipped has to be watched, and measured again.
