# %% [markdown]
# # 1.12 Prompting: zero, one and few shots
#
# You can show a model what you want inside the prompt: a dialogue with its summary, then the dialogue that you ask for.
# Such an example is called a shot. The model does not learn in the usual sense. No weight changes. In this lesson you
# bet on the number of shots, and then measure.

# %% [markdown]
# ## Predict
#
# A small model summarizes eight dialogues. It gets no shot, one shot or three shots. ROUGE-1 says how many words its
# answer shares with a reference, from 0 to 1. With which number of shots is it highest? And by how much is three shots
# better than none?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_best = None  # @param {type:"integer"}
my_guess_difference = None  # @param {type:"number"}
predict("1.12/best", my_guess_best)
predict("1.12/difference", my_guess_difference)

# %% [markdown]
# ## Run: one prompt
#
# Turn the dials, and read what the model gets. The shots are drawn from short training dialogues, by a seed. A template
# is the text around a dialogue. The model's own chat template stands around everything.

# %% tags=["dials"]
shots = 1  # @param {type:"slider", min:0, max:3, step:1}
template = "plain"  # @param ["plain", "question", "brief", "facts"]
shot_seed = 0  # @param {type:"slider", min:0, max:20, step:1}

# %%
import luthier
from luthier.decoding.generate import answered
from luthier.task.prompt import draw_shots

task = luthier.load_task("dialogues")
model = luthier.load("smollm2-135m")
dialogues = sorted(task.test, key=lambda example: len(example.input))[:8]
short_ones = sorted(task.train, key=lambda example: len(example.input))[:12]


def prompt(example: luthier.Example, shots: int, template: str = "plain", seed: int = 0) -> luthier.Prompt:
    """One dialogue behind a number of shots, for this model."""
    return model.renderer.prompt(example, task.template(template), draw_shots(short_ones, shots, seed), room=32)


mine = prompt(dialogues[0], shots, template, shot_seed)
print(mine.text)
print(f"{len(mine.prompt_ids)} tokens")

# %% [markdown]
# Each shot is a turn of the user and a turn of the assistant. So it looks to the model as if it had answered already. A
# shot costs tokens: they are read again for each question, and they take room in the context window.

# %%
lengths = {count: sum(len(prompt(one, count).prompt_ids) for one in dialogues) / len(dialogues) for count in (0, 1, 3)}
show(bars("Tokens of a prompt", [(f"{count} shots", length) for count, length in lengths.items()], "tokens"))

# %% tags=["claim"]
# Three shots make the prompt more than 3 times as long, although they are short ones.
assert lengths[3] > 3 * lengths[0]

# %% [markdown]
# The prompt with three shots is more than 3 times as long as the one without.
#
# ## Run: the measurement
#
# Now eight dialogues with no, one and three shots. And once more with another template, without shots. Each answer has
# at most thirty-two tokens.

# %%
arms = {
    "no shot": (0, "plain"),
    "one shot": (1, "plain"),
    "three shots": (3, "plain"),
    "no shot, question": (0, "question"),
}
rouge = {}
for name, (count, text) in arms.items():
    requests = [luthier.Request(one.id, prompt(one, count, text).prompt_ids, 32) for one in dialogues]
    answers = answered(model, requests)
    if name in ("no shot", "three shots"):
        print(f"{name}: {answers[0].text[:90]!r}")
    rouge[name] = [score.values["rouge1"] for score in luthier.score(answers, dialogues, ["rouge1"])]

# %%
from luthier.stats.intervals import mean_of, paired

rows = []
for name, values in rouge.items():
    low, high = mean_of(values).interval(0.95)
    rows.append((name, f"{sum(values) / len(values):.3f}", f"{low:.3f} to {high:.3f}"))
show(Table(("prompt", "ROUGE-1", "95 % interval"), rows))

# %% [markdown]
# ## Is the difference real?
#
# All prompts ask about the same eight dialogues. So take the difference for each dialogue, and then the mean of the
# differences. Some dialogues are hard for every prompt, and that cancels out.

# %%
from luthier.stats.power import examples_needed

best, *others = sorted(rouge, key=lambda name: -sum(rouge[name]))
rows, needed = [], {}
for name in others:
    difference = paired(rouge[best], rouge[name])
    low, high = difference.interval(0.95)
    needed[name] = examples_needed(0.02, difference.sd).total
    rows.append((f"{best} - {name}", f"{difference.value:+.3f}", f"{low:+.3f} to {high:+.3f}", needed[name]))
show(Table(("difference", "mean", "95 % interval", "dialogues for .02"), rows))

# %% [markdown]
# Look at the last column. It says how many dialogues a study needs. With so many, four of five studies see a difference
# of `0.02`. Eight are far too few. Whoever tries two prompts on eight dialogues and takes the better one has thrown a
# coin.

# %% tags=["claim"]
# To see a difference of 0.02, more than 24 dialogues are needed for every pair. And the intervals are wider than 0.03.
assert min(needed.values()) > 24
for name in others:
    low, high = paired(rouge[best], rouge[name]).interval(0.95)
    assert high - low > 0.03

# %% [markdown]
# ## Fill a hole
#
# Some models have no chat template. Then the prompt is plain text. Put it together: each shot is a dialogue, the line
# `Summary: ` with its summary, and an empty line. At the end stands your dialogue, and `Summary:` without an answer.


# %% tags=["hole"]
def few_shot(shots: list[tuple[str, str]], dialogue: str) -> str:
    """The prompt as one text; a shot is (dialogue, summary)."""
    ### BEGIN SOLUTION
    parts = [f"{shown}\nSummary: {summary}\n\n" for shown, summary in shots]
    return "".join(parts) + f"{dialogue}\nSummary:"
    ### END SOLUTION


# %% tags=["test"]
assert few_shot([], "A: Hi.") == "A: Hi.\nSummary:", "few_shot: the dialogue that is asked for ends with 'Summary:'"
### BEGIN HIDDEN TESTS
assert few_shot([("A: Hi.", "A greets.")], "B: Bye.") == "A: Hi.\nSummary: A greets.\n\nB: Bye.\nSummary:", (
    "few_shot: a shot shows its summary, and the dialogue that is asked for comes last"
)
assert few_shot([("a", "b"), ("c", "d")], "e") == "a\nSummary: b\n\nc\nSummary: d\n\ne\nSummary:", (
    "few_shot: shots keep their order, with an empty line behind each"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.12/dialogues", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.12/tokens", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.12/more-shots", my_choice)

# %% [markdown]
# ## What this does not show
#
# This model is small. Large models use shots better, and on other tasks, such as labels, shots often help a lot. Which
# shots are drawn matters as well: turn the seed. And ROUGE-1 counts words. A summary that names the wrong person may
# still share most of its words with the reference.
