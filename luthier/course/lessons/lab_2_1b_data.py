# %% [markdown]
# # Lab 2.1b Data and model
#
# Before anything is trained, somebody has to look at the rows. Here a seed spoils a copy of a task. You find
# what is wrong with it, first by hand and then with a check. You also count the rows that do not fit into a model.

# %% [markdown]
# ## Predict
#
# A test set of 60 dialogues holds six that also stand in the training set. A model that has learned them by heart gets
# those six perfectly right, and the others as before. Its mean was 0.30. What is it now?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"number"}
predict("lab2.1b/leaked-mean", my_guess)
BEFORE, TEST, LEAKED = 0.30, 60, 6

# %%
after = (LEAKED * 1.0 + (TEST - LEAKED) * BEFORE) / TEST
print(f"the mean goes from {BEFORE:.2f} to {after:.2f}, and nothing was learned that helps")

# %% tags=["claim"]
# From 0.30 to 0.37, which is more than many trainings gain.
assert round(after, 2) == 0.37

# %% [markdown]
# ## Run: spoil a task
#
# The seed of the dial decides which rows are spoiled. The rows are written into a folder of their own.

# %% tags=["dials"]
seed = 1  # @param {type:"slider", min:1, max:20, step:1}

# %%
import json
import random
from pathlib import Path

import luthier

clean = luthier.load_task("dialogues")


def spoiled(seed: int) -> tuple[Path, dict[str, list[str]]]:
    """A task folder with a leak, a duplicate and an empty summary; and the ids of the spoiled rows."""
    dice = random.Random(seed)
    splits = {
        name: [{"id": one.id, "input": one.input, "references": [one.references[0]]} for one in clean.split(name)]
        for name in ("train", "dev", "test")
    }
    leaked = dice.sample(splits["test"], 3)
    splits["train"] += [{**one, "id": f"extra-{at}"} for at, one in enumerate(leaked)]
    twice = dice.choice(splits["train"][:100])
    splits["train"].append({**twice, "id": "extra-twice"})
    empty = dice.choice(splits["dev"])
    empty["references"] = [""]
    folder = Path(f"spoiled-{seed}")
    folder.mkdir(exist_ok=True)
    for name, rows in splits.items():
        dice.shuffle(rows)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    names = {"leaked": [one["id"] for one in leaked], "twice": [twice["id"]], "empty": [empty["id"]]}
    return folder, names


folder, planted = spoiled(seed)
rows = {name: [json.loads(line) for line in (folder / f"{name}.jsonl").open()] for name in ("train", "dev", "test")}
show(Table(("split", "rows"), [(name, len(own)) for name, own in rows.items()]))

# %% [markdown]
# ## By hand
#
# Look for the leak yourself before you go on. A row leaks if its dialogue stands in train and in test. Here is a start:
# compare the texts. White space and case must not hide a copy.

# %%


def plain(text: str) -> str:
    """The text without what hides a copy: case and white space."""
    return " ".join(text.lower().split())


known = {plain(row["input"]) for row in rows["train"]}
found = sorted(row["id"] for row in rows["test"] if plain(row["input"]) in known)
print("test rows that also stand in train:", found)

# %% tags=["claim"]
# The three rows that the seed leaked are found, and no other.
assert found == sorted(planted["leaked"]) and len(found) == 3

# %% [markdown]
# ## With a check
#
# `luthier check` looks for this and more, and names the rows. A task is a folder with a `task.toml`.

# %%
(folder / "task.toml").write_text('name = "spoiled"\n', encoding="utf-8")
try:
    findings = [(one.level, one.text) for one in luthier.check_task(luthier.load_task(folder))]
except luthier.LuthierError as error:
    findings = [("error", str(error))]
for level, text in findings:
    print(f"{level}: {text[:150]}")

# %% tags=["claim"]
# The check finds the empty summary, the duplicate and the three rows that leaked.
said = " ".join(text for _, text in findings)
assert "empty" in said and "earlier row" in said
assert sum("train.jsonl row" in part for part in said.split("(= ")) >= 3

# %% [markdown]
# ## Rows over the window
#
# A row is a prompt and an answer. Both have to fit into the model's window. A tokenizer counts; characters are a bad
# guess.

# %%
from luthier.model.sources import resolve
from luthier.planning.tokenizer import LightTokenizer

tokenizer = LightTokenizer(resolve("smollm2-135m"))
lengths = [
    (len(tokenizer(one.input)["input_ids"]), len(tokenizer(one.references[0])["input_ids"])) for one in clean.train
]
windows = {window: sum(a + b > window for a, b in lengths) for window in (128, 192, 256, 384, 512)}
show(bars("Training rows that do not fit", [(f"window {window}", count) for window, count in windows.items()]))

# %% tags=["claim"]
# A longer window never loses more rows; with 512 tokens all 144 rows fit, with 128 nearly none does.
counts = list(windows.values())
assert counts == sorted(counts, reverse=True)
assert windows[512] == 0 and windows[128] > 0.5 * len(lengths) and len(lengths) == 144

# %% [markdown]
# ## Fill a hole
#
# Write the count of rows that lose something. `rows` holds pairs of tokens: prompt and answer. The answer also needs
# one place for its end token. Return the indices of the rows that do not fit into the window.


# %% tags=["hole"]
def over_window(rows: list[tuple[int, int]], window: int) -> list[int]:
    """The places of the rows whose prompt, answer and end token do not fit into the window."""
    ### BEGIN SOLUTION
    return [place for place, (prompt, answer) in enumerate(rows) if prompt + answer + 1 > window]
    ### END SOLUTION


# %% tags=["test"]
assert over_window([(100, 20), (500, 100)], 512) == [1], "over_window: prompt and answer share the window"
### BEGIN HIDDEN TESTS
assert over_window([(500, 12)], 512) == [0], "over_window: the end token needs a place too"
assert over_window([(500, 11)], 512) == [], "over_window: a row that just fits loses nothing"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.1b/leak", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab2.1b/window", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.1b/where", my_choice)

# %% [markdown]
# ## What this does not show
#
# A check finds rows that are the same. It does not find a dialogue that was told anew in other words, or a test set
# that the model's makers have read. And a window that is large enough on average says nothing about the longest rows.
