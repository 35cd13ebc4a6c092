# %% [markdown]
# # Lab 1.2 Summaries without prompt engineering
#
# You give a model a dialogue and nothing else. What does it do? Here you read its answers, score them, and
# compare them with something that needs no model at all: the first lines of the dialogue, copied.

# %% [markdown]
# ## Predict
#
# The model gets six short dialogues, bare. How many of its six answers are summaries? And who has the higher ROUGE-1
# against good summaries, the `"model"` or the `"copy"` of the first three lines?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_summaries = None  # @param {type:"integer"}
my_guess_higher = ""  # @param ["", "model", "copy"]
predict("lab1.2/summaries", my_guess_summaries)
predict("lab1.2/higher", my_guess_higher)

# %% [markdown]
# ## The data and the model
#
# The dialogues ship with luthier. Each test dialogue has two summaries that were written for it: the references. The
# model is SmolLM2 with 135 million parameters, which was trained to follow instructions. All labs of this week use
# both.

# %%
import luthier
from luthier.decoding.generate import answered

task = luthier.load_task("dialogues")
model = luthier.load("smollm2-135m")
dialogues = sorted(task.test, key=lambda example: len(example.input))[:6]
print(dialogues[0].input)
print("---")
print(dialogues[0].references[0])

# %% [markdown]
# ## Run: bare
#
# The prompt is the dialogue, in the model's own chat template. Nothing says what to do with it. Each answer has at most
# fifty tokens.

# %%


def bare(example: luthier.Example) -> luthier.Prompt:
    """A dialogue as the user's turn, without any instruction."""
    return model.renderer.prompt(example, "{input}", room=50)


requests = [luthier.Request(one.id, bare(one).prompt_ids, 50) for one in dialogues]
answers = answered(model, requests)
for answer in answers:
    print(f"{answer.id} ({answer.stop}): {answer.text[:150]!r}")

# %% [markdown]
# Read them. Most go on with the dialogue, or repeat it. The model was asked nothing. So it does what such texts often
# do. Many answers end because they reached their limit, and not because the model was done.

# %% tags=["claim"]
# SmolLM2 has 135 million parameters. At least four of six answers ran into their limit.
assert 134e6 < sum(one.numel() for one in model.module.parameters()) < 136e6
assert sum(answer.stop == "length" for answer in answers) >= 4

# %% [markdown]
# ## Turn a dial: a baseline
#
# A baseline is something simple that every model has to beat. Here it copies the first lines of a dialogue. Turn the
# number of lines.

# %% tags=["dials"]
lines = 3  # @param {type:"slider", min:1, max:8, step:1}

# %%
from luthier.adapt.baselines import copied
from luthier.adapt.settings import Copy


def rouge_1(answers: list[luthier.Answer]) -> list[float]:
    """ROUGE-1 of each dialogue's answer, in the order of the dialogues; the mean over both references."""
    return [score.values["rouge1"] for score in luthier.score(answers, dialogues, ["rouge1"])]


of_model = rouge_1(answers)
of_copy = rouge_1(copied(Copy(lines=lines), (), dialogues))
rows = [(one.id, f"{a:.3f}", f"{b:.3f}") for one, a, b in zip(dialogues, of_model, of_copy)]
show(Table(("dialogue", "model, bare", f"{lines} lines copied"), rows))
show(bars("Mean ROUGE-1", [("model, bare", sum(of_model) / 6), (f"{lines} lines copied", sum(of_copy) / 6)]))

# %% [markdown]
# ROUGE-1 counts the words that an answer shares with a reference. A copy shares many words with a summary, because both
# speak of the same people and things. So a fluent answer has to be better than a copy, before it is worth anything.

# %%
from luthier.stats.intervals import paired

of_three = rouge_1(copied(Copy(lines=3), (), dialogues))
difference = paired(of_model, of_three)
low, high = difference.interval(0.95)
print(f"model - copy of three lines: {difference.value:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}")

# %% tags=["claim"]
# The bare model does not beat the copy of three lines: its interval does not lie above zero.
assert low <= 0
# The copy alone has more than 0.2.
assert sum(of_three) / 6 > 0.2

# %% [markdown]
# ## Fill a hole
#
# Write the baseline. Return the first `count` lines of a dialogue that hold something, joined by line breaks.


# %% tags=["hole"]
def first_lines(dialogue: str, count: int) -> str:
    """The first lines that are not empty."""
    ### BEGIN SOLUTION
    return "\n".join([line for line in dialogue.split("\n") if line.strip()][:count])
    ### END SOLUTION


# %% tags=["test"]
assert first_lines("A: Hi.\nB: Yes?\nA: Bye.", 2) == "A: Hi.\nB: Yes?", "first_lines: take the first lines, whole"
### BEGIN HIDDEN TESTS
assert first_lines("A: Hi.\n\n  \nB: Yes?", 2) == "A: Hi.\nB: Yes?", "first_lines: an empty line does not count"
assert first_lines("A: Hi. Ho.\nB: Yes?", 1) == "A: Hi. Ho.", "first_lines: a line may hold several sentences"
assert first_lines("A: Hi.", 3) == "A: Hi.", "first_lines: a short dialogue is copied whole"
### END HIDDEN TESTS

# %% tags=["claim"]
# The hole is the baseline of luthier's studies.
baseline = copied(Copy(lines=3), (), dialogues)
assert all(first_lines(one.input, 3) == answer.text for one, answer in zip(dialogues, baseline))

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab1.2/f1", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab1.2/two-references", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab1.2/fluent", my_choice)

# %% [markdown]
# ## What this does not show
#
# Six dialogues are few. And ROUGE-1 is not what a reader wants. A copy is no summary, although it scores well. Read the
# answers as well as the numbers. The next step says to the model what it has to do.
