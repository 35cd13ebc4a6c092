# %% [markdown]
# # Lab 1.5 Generative configuration
#
# These are the last dials of this week's lab: how many tokens an answer may have, and how they are chosen. You set them
# for a real task, the summary of a dialogue, and count what they do.

# %% [markdown]
# ## Predict
#
# An answer may have ten new tokens. Of four answers, how many end because they are done? And one dialogue is answered
# under six seeds at a temperature of `0.1`. How many different answers are there?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_done = None  # @param {type:"integer"}
my_guess_different = None  # @param {type:"integer"}
predict("lab1.5/done", my_guess_done)
predict("lab1.5/different", my_guess_different)

# %% [markdown]
# ## Run: the limit
#
# Four dialogues are answered greedily, each with at most eighty new tokens. An answer that ends by itself has said its
# end token. One that ran into the limit stops where it is, in the middle of a word if need be.

# %%
import luthier
from luthier.decoding.generate import answered

task = luthier.load_task("dialogues")
model = luthier.load("smollm2-135m")
dialogues = sorted(task.test, key=lambda example: len(example.input))[:4]
prompts = {one.id: model.renderer.prompt(one, task.template("brief"), room=80).prompt_ids for one in dialogues}


def answers_within(limit: int) -> list[luthier.Answer]:
    """The answers to all dialogues, greedy, in their order."""
    return answered(model, [luthier.Request(name, ids, limit) for name, ids in prompts.items()])


full = answers_within(80)
for answer in full:
    print(f"{answer.id}: {len(answer.tokens)} tokens, stopped by {answer.stop}")

# %% [markdown]
# ## Turn a dial: a smaller limit
#
# Is a small limit a way to short summaries? Turn it, and read what is left.

# %% tags=["dials"]
limit = 10  # @param {type:"slider", min:5, max:80, step:5}

# %%
short = answers_within(limit)
for answer in short:
    print(f"{answer.stop}: {answer.text!r}")
rouge = {
    f"at most {most}": [score.values["rouge1"] for score in luthier.score(answers, dialogues, ["rouge1"])]
    for most, answers in ((80, full), (limit, short))
}
show(bars("Mean ROUGE-1 of four", [(name, sum(values) / len(values)) for name, values in rouge.items()]))

# %% [markdown]
# The model does not know the limit. It does not plan a shorter answer. The short answer is the beginning of the long
# one, token by token.

# %% tags=["claim"]
# With 10 tokens every answer is the beginning of its answer with 80, and none is done.
ten = short if limit == 10 else answers_within(10)
for answer, long in zip(ten, full):
    assert answer.tokens == long.tokens[:10]
    assert answer.stop == "length"

# %% [markdown]
# ## Run: temperature and seeds
#
# Now one dialogue is answered under six seeds, at four temperatures. Each answer has at most twenty-four tokens.

# %%
name, ids = next(iter(prompts.items()))


def under_seeds(temperature: float, seeds: int = 6) -> list[str]:
    """The answers to one dialogue under several seeds."""
    dials = luthier.Generation(temperature=temperature)
    asked = [luthier.Request(str(seed), ids, 24, dials, seed=seed) for seed in range(seeds)]
    return [answer.text for answer in answered(model, asked)]


texts = {temperature: under_seeds(temperature) for temperature in (0.0, 0.1, 0.5, 1.0)}
rows = [
    (f"T = {temperature}", len(set(some)), some[0][:60].replace("\n", " / ")) for temperature, some in texts.items()
]
show(Table(("temperature", "different of six", "one of them"), rows))

# %% [markdown]
# At zero all seeds give one answer: that is greedy. At one nearly each seed gives its own. At `0.1` the model still
# draws. Where two tokens are nearly equally likely, even a low temperature may take either. And after one different
# token the rest of the answer differs too.

# %% tags=["claim"]
# Greedy gives 1 answer. At a temperature of 1.0 there are at least 4 different ones of six, and not fewer than at 0.1.
assert len(set(texts[0.0])) == 1
assert len(set(texts[1.0])) >= 4
assert len(set(texts[1.0])) >= len(set(texts[0.1])) >= 1

# %% [markdown]
# ## How far is 0.1 from greedy?
#
# Here is the beginning of an answer that is drawn at `0.1`. For each place you see the likeliest token, its probability
# by the model, and the one after a temperature of `0.1`.

# %%
requests = [luthier.Request("look", ids, 12, luthier.Generation(temperature=0.1), seed=0, top=2)]
rows, sure = [], 1.0
for event in luthier.generate(model, requests):
    best = event.candidates[0]
    sure *= best.after
    rows.append((repr(model.tokenizer.decode([best.token])), f"{best.before:.3f}", f"{best.after:.3f}", f"{sure:.3f}"))
show(Table(("likeliest token", "by the model", "at T = 0.1", "all so far likeliest"), rows))

# %% [markdown]
# The last column multiplies. Each step is nearly sure, and many steps together are less sure. That is why a long answer
# at `0.1` often differs from the greedy one.

# %% tags=["claim"]
# A temperature of 0.1 makes the likeliest token likelier at every step.
assert all(float(after) >= float(before) for _, before, after, _ in rows)

# %% [markdown]
# ## Fill a hole
#
# Choose a limit. You know how many tokens some answers have when nothing limits them, their end token included. Return
# the smallest limit that lets at least a share of them end by themselves. For a share of zero that is a limit of zero.


# %% tags=["hole"]
def smallest_limit(lengths: list[int], share: float) -> int:
    """The smallest limit under which at least this share of the answers is done."""
    ### BEGIN SOLUTION
    for limit in [0, *sorted(lengths)]:
        if sum(length <= limit for length in lengths) >= share * len(lengths) - 1e-9:
            return limit
    return max(lengths)
    ### END SOLUTION


# %% tags=["test"]
assert smallest_limit([20, 50, 30, 40], 0.5) == 30, "smallest_limit: half of four answers are done with the second one"
### BEGIN HIDDEN TESTS
assert smallest_limit([20, 50, 30], 0.5) == 30, "smallest_limit: at least half of three answers are two"
assert smallest_limit([20, 50], 1.0) == 50, "smallest_limit: a share of one lets the longest answer end"
assert smallest_limit([20, 50], 0.0) == 0, "smallest_limit: no answer has to be done, so the limit is zero"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab1.5/all-likeliest", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab1.5/limit", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab1.5/concise", my_choice)

# %% [markdown]
# ## The end of lab 1: a study
#
# You have read a few answers at each step. A study asks all arms on the same dialogues, and says how sure the
# difference is. Type the line below in a terminal, in this folder. If you stop it, the same line goes on.

# %%
from luthier.course import labs

print(labs.STUDIES[1].command)

# %% [markdown]
# It writes a folder, `lab-1-study`, with a page in it: `report.html`. Find three things on that page.
#
# 1. Which arm would you ship, and what does the report say?
# 2. How many dialogues would show a difference that is smaller?
# 3. Which answer has a high score and is wrong?
#
# Then judge pairs yourself, and see afterwards who wrote what: `luthier rate lab-1-study`. At the end
# `luthier hand-in` packs your lessons, your answers and this report.

# %% tags=["claim"]
# A study gives no verdict below twenty dialogues, and this one asks more.
assert int(labs.STUDIES[1].settings["test"]) > 20 and labs.STUDIES[1].folder == "lab-1-study"

# %% [markdown]
# ## What this does not show
#
# Nothing here says which dials give better summaries. For that take more dialogues, and several seeds of each, because
# a drawn answer is one of many. In a study an arm has its dials in its name: `zero-shot+temperature=0.7`.
