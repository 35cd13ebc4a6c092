# %% [markdown]
# # Lab 1.3a Zero shot with an instruction
#
# Now you say what the model has to do. That is an instruction, and with no example beside it the prompt is called zero
# shot. Here you write the instruction, read the answers, and ask how sure their score is.

# %% [markdown]
# ## Predict
#
# The prompt says: Summarize the following conversation. Of six answers, how many begin as a dialogue, with a name and a
# colon? And what is the mean ROUGE-1 of the six, if the bare dialogue without any instruction reached about `.2`?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, Tokens, bars, show

my_guess_dialogues = None  # @param {type:"integer"}
my_guess_rouge = None  # @param {type:"number"}
predict("lab1.3a/dialogues", my_guess_dialogues)
predict("lab1.3a/rouge", my_guess_rouge)

# %% [markdown]
# ## Turn a dial: your instruction
#
# A template is a text with a hole: `{input}` is where the dialogue goes. Write your own.

# %% tags=["dials"]
instruction = "Summarize the following conversation."  # @param {type:"string"}

# %%
import luthier
from luthier.decoding.generate import answered

task = luthier.load_task("dialogues")
model = luthier.load("smollm2-135m")
dialogues = sorted(task.test, key=lambda example: len(example.input))[:6]


def answers_under(template: str, most: int = 50) -> list[luthier.Answer]:
    """The model's answer to each dialogue under a template, greedy."""
    asked = [
        luthier.Request(one.id, model.renderer.prompt(one, template, room=most).prompt_ids, most) for one in dialogues
    ]
    return answered(model, asked)


template = instruction + "\n\n{input}"
prompt = model.renderer.prompt(dialogues[0], template, room=50)
pieces = [model.tokenizer.decode([one]) for one in prompt.prompt_ids]
show(Tokens(pieces[:60], [float(piece.strip() in ("<|im_start|>", "<|im_end|>")) for piece in pieces[:60]]))
print(f"{len(pieces)} tokens, of which your instruction has {len(model.tokenizer(instruction)['input_ids'])}")

# %% [markdown]
# ## Run: does it obey?
#
# All six answers, with your instruction. Beside each answer you see how much of it is copied. Four words in a row count
# as copied if the dialogue has them too.

# %%
import re


def begins_as_dialogue(text: str) -> bool:
    """Whether a text begins with a name and a colon."""
    return re.match(r"\s*[A-Z][\w.' -]{0,30}:", text) is not None


answers = answers_under(template)
scores = luthier.score(answers, dialogues)
rows = [
    (answer.text[:70].replace("\n", " / "), f"{score.values['copied']:.2f}", f"{score.values['rouge1']:.3f}")
    for answer, score in zip(answers, scores)
]
show(Table(("answer", "copied", "ROUGE-1"), rows))

# %% tags=["claim"]
# With the usual instruction at least two of six answers begin as a dialogue, or are copied for the larger part (0.5).
usual = answers if instruction == "Summarize the following conversation." else answers_under(task.template("plain"))
copies = [score.values["copied"] for score in luthier.score(usual, dialogues)]
disobeyed = sum(begins_as_dialogue(answer.text) or share > 0.5 for answer, share in zip(usual, copies))
assert disobeyed >= 2

# %% [markdown]
# A small model hears the instruction, and often copies the dialogue all the same. Nothing in it makes an instruction a
# command. It is only text that comes before other text. And look at the scores: answers that copy score well.

# %%
from luthier.stats.intervals import mean_of

rouge = [score.values["rouge1"] for score in scores]
estimate = mean_of(rouge)
low, high = estimate.interval(0.95)
show(bars("ROUGE-1 of each dialogue", [(one.id, value) for one, value in zip(dialogues, rouge)]))
print(f"your instruction: mean {estimate.value:.3f}, 95 % interval {low:.3f} to {high:.3f}")

# %% [markdown]
# The dialogues differ much from each other. So the mean of six says little about the mean of all such dialogues. The
# interval says how little: it is wide.

# %% tags=["claim"]
# With the usual instruction the interval of six dialogues is wider than 0.05, and it holds the mean.
usual_mean = mean_of([score.values["rouge1"] for score in luthier.score(usual, dialogues, ["rouge1"])])
lowest, highest = usual_mean.interval(0.95)
assert highest - lowest > 0.05
assert lowest < usual_mean.value < highest

# %% [markdown]
# ## Fill a hole
#
# Put a dialogue into a template. Be careful: people write braces in dialogues and in templates. Only `{input}` is the
# hole.


# %% tags=["hole"]
def filled(template: str, dialogue: str) -> str:
    """The template with the dialogue in the place of {input}."""
    ### BEGIN SOLUTION
    return template.replace("{input}", dialogue)
    ### END SOLUTION


# %% tags=["test"]
assert filled("Sum up:\n{input}", "A: Hi.") == "Sum up:\nA: Hi.", "filled: the dialogue stands in the place of {input}"
### BEGIN HIDDEN TESTS
assert filled("{input}\nSum up.", "A: Hi.") == "A: Hi.\nSum up.", "filled: the hole may stand at the beginning"
assert filled('As JSON {"summary": ...}:\n{input}', "A: Hi.") == 'As JSON {"summary": ...}:\nA: Hi.', (
    "filled: other braces of the template stay as they are"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab1.3a/error", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab1.3a/none", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab1.3a/obeyed", my_choice)

# %% [markdown]
# ## What this does not show
#
# Larger models obey far more often, because they were trained on more instructions. Whether your instruction is better
# than the usual one cannot be said from six dialogues. The next step compares two templates, dialogue by dialogue.
