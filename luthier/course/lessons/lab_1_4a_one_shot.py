# %% [markdown]
# # Lab 1.4a One shot
#
# One example stands before your question: a dialogue with a good summary. That is one shot. Which example is it? Here
# you draw it by a seed, and see that the draw matters. And you see what an example costs.

# %% [markdown]
# ## Predict
#
# The prompt without an example has about 270 tokens. How many has it with one? And how much do the mean scores of four
# different examples differ, the highest less the lowest ROUGE-1?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, Tokens, bars, show

my_guess_tokens = None  # @param {type:"integer"}
my_guess_spread = None  # @param {type:"number"}
predict("lab1.4a/tokens", my_guess_tokens)
predict("lab1.4a/spread", my_guess_spread)

# %% [markdown]
# ## Turn a dial: draw your example
#
# The example comes from the training rows. It must never come from the test rows: then the answer would stand in the
# prompt of its own question.

# %% tags=["dials"]
shot_seed = 1  # @param {type:"slider", min:0, max:30, step:1}

# %%
import luthier
from luthier.decoding.generate import answered
from luthier.task.prompt import draw_shots

task = luthier.load_task("dialogues")
model = luthier.load("smollm2-135m")
dialogues = sorted(task.test, key=lambda example: len(example.input))[:4]
short_ones = sorted(task.train, key=lambda example: len(example.input))[:24]


def prompt(example: luthier.Example, shots: list[luthier.Example]) -> luthier.Prompt:
    return model.renderer.prompt(example, task.template("plain"), shots, room=40)


mine = draw_shots(short_ones, 1, shot_seed)
print(mine[0].input)
print("---")
print(mine[0].references[0])

# %%
none, one = prompt(dialogues[0], []), prompt(dialogues[0], mine)
pieces = [model.tokenizer.decode([token]) for token in one.prompt_ids]
show(Tokens(pieces, [float(place < len(one.prompt_ids) - len(none.prompt_ids)) for place in range(len(pieces))]))
show(bars("Tokens of the prompt", [("no shot", len(none.prompt_ids)), ("one shot", len(one.prompt_ids))], "tokens"))

# %% [markdown]
# What is shaded is the price of the example: about as many tokens again. The model reads them for every question.

# %% tags=["claim"]
# The prompt without a shot has about 270 tokens. With one it is more than 1.6 times as long, for four drawn examples.
bare_lengths = [len(prompt(example, []).prompt_ids) for example in dialogues]
assert abs(sum(bare_lengths) / 4 - 270) < 40
SEEDS = (0, 1, 3, 4)
for seed in SEEDS:
    longer = [len(prompt(example, draw_shots(short_ones, 1, seed)).prompt_ids) for example in dialogues]
    assert sum(longer) > 1.6 * sum(bare_lengths)

# %% [markdown]
# With one example the prompt is more than 1.6 times as long.
#
# ## Run: four draws
#
# Four seeds draw four examples. Two seeds may draw the same one, so these four are chosen to differ. Each example is
# put before the same four dialogues. Each answer has at most forty tokens.

# %%


def rouge_1(shots: list[luthier.Example]) -> list[float]:
    """ROUGE-1 of each dialogue's answer behind these shots."""
    asked = [luthier.Request(example.id, prompt(example, shots).prompt_ids, 40) for example in dialogues]
    answers = answered(model, asked)
    return [score.values["rouge1"] for score in luthier.score(answers, dialogues, ["rouge1"])]


measured = {"no shot": rouge_1([])}
for seed in SEEDS:
    drawn = draw_shots(short_ones, 1, seed)
    measured[f"seed {seed}: {drawn[0].id}"] = rouge_1(drawn)
rows = [(name, *(f"{value:.3f}" for value in values), f"{sum(values) / 4:.3f}") for name, values in measured.items()]
show(Table(("shot", *(example.id for example in dialogues), "mean"), rows))

# %%
means = [sum(values) / 4 for name, values in measured.items() if name != "no shot"]
spread = max(means) - min(means)
changed = sum(len({values[at] for name, values in measured.items() if name != "no shot"}) > 1 for at in range(4))
print(f"the means of four shots lie {spread:.3f} apart; the score of {changed} of 4 dialogues depends on the shot")

# %% [markdown]
# Nothing changed but the example. So whoever reports one shot with one example reports a draw. Say which example it
# was, or draw several. A study in luthier keeps the seed of its shots in the task, and the names of the shots in each
# prompt.

# %% tags=["claim"]
# The four examples differ, and the score of at least 3 of four dialogues depends on them.
assert len({draw_shots(short_ones, 1, seed)[0].id for seed in SEEDS}) == 4
assert changed >= 3
# The same seed draws the same example, and the prompt says which one it holds.
assert draw_shots(short_ones, 1, 2) == draw_shots(short_ones, 1, 2)
assert prompt(dialogues[0], mine).shots == (mine[0].id,)
# No example is a test dialogue.
assert not {example.id for example in short_ones} & {example.id for example in task.test}

# %% [markdown]
# ## Fill a hole
#
# In a chat each example is a turn of the user and a turn of the assistant. Then comes your question, as the user again.
# Write the messages, for any number of examples. Each message has a role and a content.


# %% tags=["hole"]
def with_shots(instruction: str, shots: list[tuple[str, str]], dialogue: str) -> list[dict[str, str]]:
    """Messages; a shot is (dialogue, summary), and a question is the instruction, an empty line, the dialogue."""
    ### BEGIN SOLUTION
    messages = []
    for shown, summary in shots:
        messages.append({"role": "user", "content": f"{instruction}\n\n{shown}"})
        messages.append({"role": "assistant", "content": summary})
    return [*messages, {"role": "user", "content": f"{instruction}\n\n{dialogue}"}]
    ### END SOLUTION


# %% tags=["test"]
assert with_shots("Sum up.", [], "B: Bye.") == [{"role": "user", "content": "Sum up.\n\nB: Bye."}], (
    "with_shots: your question comes last, with the instruction"
)
### BEGIN HIDDEN TESTS
assert [one["role"] for one in with_shots("", [("", "A greets.")], "")] == ["user", "assistant", "user"], (
    "with_shots: an example is a user's turn with the instruction, and an assistant's turn with its summary"
)
assert with_shots("Sum up.", [("A: Hi.", "A greets.")], "B: Bye.")[0]["content"] == "Sum up.\n\nA: Hi.", (
    "with_shots: an example is a user's turn with the instruction, and an assistant's turn with its summary"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab1.4a/price", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab1.4a/best-of", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab1.4a/free", my_choice)

# %% [markdown]
# ## What this does not show
#
# Four dialogues and four examples do not say how much the draw matters in general. They show that it does. A server
# that keeps what it has read can read the example once for many questions. Then it costs less time, and still takes
# room in the window.
