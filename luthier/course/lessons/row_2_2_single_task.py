# %% [markdown]
# # 2.2 Single-task instruction fine-tuning
#
# Often a model has to do one thing, and do it in one form. Then a few dozen examples can be enough. In this lesson you
# teach a real model a form that it has never seen, with 32 rows, and compare it with the same model before.

# %% [markdown]
# ## Predict
#
# A model of 135 million parameters reads orders such as `Ana: I take 3 teas, and 2 rolls please.` It has to write
# `Ana | 3 teas | 2 rolls`. It sees 32 examples, each three times. How many training steps is that, with eight rows a
# step? And what ROUGE-1 does it reach on new orders?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_steps = None  # @param {type:"integer"}
my_guess_rouge = None  # @param {type:"number"}
predict("2.2/steps", my_guess_steps)
predict("2.2/rouge", my_guess_rouge)
ROWS, MILLIONS = 32, 135

# %% [markdown]
# ## Run: the rows
#
# A seed writes the orders. A task is a folder with three files of rows and a `task.toml`.

# %%
import json
import math
import random
from pathlib import Path

import luthier

GOODS = ("coffees", "teas", "rolls", "cakes", "apples", "eggs")
NAMES = ("Ana", "Bo", "Cem", "Dora", "Eli", "Fay", "Gus", "Hana")


def order(dice: random.Random, name: str) -> dict:
    """An order and the form that it shall have."""
    one, two = dice.sample(GOODS, 2)
    n, m, who = dice.randrange(2, 10), dice.randrange(2, 10), dice.choice(NAMES)
    text = f"{who}: I take {n} {one}, and {m} {two} please."
    return {"id": name, "input": text, "references": [f"{who} | {n} {one} | {m} {two}"]}


task_folder = Path("orders")
task_folder.mkdir(exist_ok=True)
dice = random.Random(0)
written: set[str] = set()
for split, count in (("train", ROWS), ("dev", 4), ("test", 20)):
    rows = []
    while len(rows) < count:
        row = order(dice, f"{split}-{len(rows)}")
        if row["input"] not in written:
            written.add(row["input"])
            rows.append(row)
    (task_folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
(task_folder / "task.toml").write_text(
    'name = "orders"\n[prompt.templates]\nplain = """Write the order short.\n\n{input}"""\n'
    "[answer]\nmax_new_tokens = 16\n",
    encoding="utf-8",
)
print(rows[0]["input"], "->", rows[0]["references"][0])

# %% [markdown]
# ## A study
#
# The study asks the model without training, then trains LoRA on the rows, and asks again. The first arm only copies
# the order. It is a baseline, and it shares many words with the right answer. `memory` bounds what training may hold,
# in GB. This takes half a minute or more.

# %%
folder = luthier.study(
    "orders", model="smollm2-135m", arms=["zero-shot", "lora-r8"], defaults={"epochs": 3}, memory=2.5, out="study"
)
result = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
means = {arm: own["rouge1"]["mean"] for arm, own in result["arms"].items()}
show(bars("ROUGE-1 on new orders", list(means.items())))
answers = {
    arm: [json.loads(line)["text"] for line in (folder / "arms" / arm / "answers.jsonl").open(encoding="utf-8")]
    for arm in ("zero-shot", "lora-r8")
}
show(Table(("order", "zero-shot", "lora-r8"), [
    (row["references"][0], before[:40], after[:40])
    for row, before, after in list(zip(rows, answers["zero-shot"], answers["lora-r8"]))[:5]
]))  # fmt: skip

# %% [markdown]
# The model could read before. What it learned is the form, and that an answer ends there. 32 rows, each read three
# times, were enough for it.

# %% tags=["claim"]
# 32 rows, and a model of 135 million parameters: LoRA beats zero shot by more than 0.2.
assert means["lora-r8"] > means["zero-shot"] + 0.2
pair = next(one for one in result["pairs"] if {one["a"], one["b"]} == {"zero-shot", "lora-r8"} and one["verdict"])
assert pair["verdict"] in ("better", "worse")

# %% [markdown]
# ## Turn a dial: steps
#
# Steps follow from rows, epochs and the batch.

# %% tags=["dials"]
epochs = 3  # @param {type:"slider", min:1, max:10, step:1}
batch = 8  # @param {type:"slider", min:1, max:32, step:1}

# %%
steps = math.ceil(ROWS / batch) * epochs
print(f"{ROWS} rows, {epochs} epochs, {batch} rows a step: {steps} steps")

# %% tags=["claim"]
# 32 rows, eight a step, are four steps an epoch.
assert math.ceil(32 / 8) == 4

# %% [markdown]
# ## Fill a hole
#
# Write the share of answers that have the form: a name, then two goods with their numbers, with ` | ` between the
# three, and nothing else. A form counts whether the content is right or not.


# %% tags=["hole"]
def in_form(answers: list[str]) -> float:
    """The share of the answers that are written as 'Ana | 3 teas | 2 rolls'."""

    ### BEGIN SOLUTION
    def fits(answer: str) -> bool:
        parts = answer.strip().split(" | ")
        goods = [part.split() for part in parts[1:]]
        return len(parts) == 3 and bool(parts[0]) and all(len(one) == 2 and one[0].isdigit() for one in goods)

    return sum(map(fits, answers)) / len(answers)
    ### END SOLUTION


# %% tags=["test"]
assert in_form(["Ana | 3 teas | 2 rolls", "Ana takes tea."]) == 0.5, "in_form: three parts with ' | ' between them"
### BEGIN HIDDEN TESTS
assert in_form(["Ana | three teas | 2 rolls"]) == 0.0, "in_form: goods have a number in digits"
assert in_form(["Ana | 3 teas | 2 rolls | 1 egg"]) == 0.0, "in_form: there are exactly two goods"
### END HIDDEN TESTS

# %%
print("in form:", {arm: in_form(own) for arm, own in answers.items()})

# %% tags=["claim"]
# No more than a few answers had the form before; more than 0.5 have it after.
assert in_form(answers["lora-r8"]) > 0.5 > in_form(answers["zero-shot"])

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.2/steps", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.2/tokens", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.2/few", my_choice)

# %% [markdown]
# ## What this does not show
#
# A form is easy to learn. Knowledge is not: these rows teach no new fact. All orders come from one function, so new
# ones are much like old ones. And whether the model lost something else has to be measured, as lesson 2.1 shows.
