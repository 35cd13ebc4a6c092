# %% [markdown]
# # Lab 1.4b Few shots
#
# If one example helps, three help more? That cannot be said before you know whether the model has seen all three. A
# model reads at most so many tokens: its context window. Here you count what really stands in the prompt.

# %% [markdown]
# ## Predict
#
# You give three examples, each about as long as your dialogue. The window has 512 tokens, and forty of them are kept
# for the answer. How many of the three examples does the model see, on average?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_seen = None  # @param {type:"number"}
predict("lab1.4b/seen", my_guess_seen)

# %% [markdown]
# ## Turn a dial: the window
#
# SmolLM2 reads 8,192 tokens. Many models read 512 or 1,024: T5 was trained with 512. Here you can make the window
# smaller, and see what the renderer does.

# %% tags=["dials"]
window = 512  # @param {type:"slider", min:320, max:2048, step:64}
shots = 3  # @param {type:"slider", min:0, max:6, step:1}

# %%
from dataclasses import replace
from itertools import pairwise

import luthier
from luthier.decoding.generate import answered
from luthier.task.prompt import draw_shots

task = luthier.load_task("dialogues")
model = luthier.load("smollm2-135m")
dialogues = sorted(task.test, key=lambda example: len(example.input))[:30]
short_ones = sorted(task.train, key=lambda example: len(example.input))[:24]
examples = draw_shots(short_ones, 6, 0)


def prompt(example: luthier.Example, count: int, window: int, room: int = 40) -> luthier.Prompt:
    """A dialogue behind a number of examples, under a window of which `room` is kept for the answer."""
    renderer = replace(model.renderer, window=window)
    return renderer.prompt(example, task.template("plain"), examples[:count], room=room)


rows = []
for one in dialogues[::6]:
    made = prompt(one, shots, window)
    rows.append((one.id, len(made.prompt_ids), len(made.shots), made.shots_dropped, made.tokens_cut))
show(Table(("dialogue", "tokens", "examples seen", "examples dropped", "tokens cut"), rows))

# %% [markdown]
# The renderer drops whole examples, the last one first, until the prompt fits. Only then does it cut the dialogue. And
# it counts both, in every prompt. A study writes the counts into its report.

# %%
by_window = {size: [len(prompt(one, 3, size).shots) for one in dialogues] for size in (512, 1024, 2048, 8192)}
seen = {size: sum(counts) / len(counts) for size, counts in by_window.items()}
show(bars("Examples seen of three, by window", [(f"{size} tokens", count) for size, count in seen.items()]))

# %% tags=["claim"]
# Of 3 examples less than one is seen in a window of 512 tokens, and more in one of 1,024. In 8,192 all are.
assert seen[512] < 1 < seen[1024] <= 3
assert seen[8192] == 3
# The window of SmolLM2 is 8,192.
assert model.window == 8192
# With a fourth and a fifth example nothing changes in the small window.
assert all(prompt(one, 3, 512).prompt_ids == prompt(one, 5, 512).prompt_ids for one in dialogues)

# %% [markdown]
# In a window of 512 tokens the model sees less than one of your three examples. "Three shots" is then a name, and not
# what happened. With 1,024 tokens it sees more. All three fit into 8,192.
#
# ## No warning, no cut?
#
# Not every program counts. Here is the prompt with three examples as ids, cut at 512 as some programs do it, without a
# word: the first 512 tokens stay. Look at its end.

# %%
whole = prompt(dialogues[0], 3, 8192).prompt_ids
print(f"the whole prompt has {len(whole)} tokens")
print("its end:", repr(model.tokenizer.decode(list(whole[-40:]))))
print("cut at 512:", repr(model.tokenizer.decode(list(whole[:512][-40:]))))

# %% [markdown]
# The question is gone. What is left ends in the middle of an example. The model answers all the same, and nobody gets
# an error. A well-known lab builds a prompt of `819` tokens for a model that was trained with `512`. Its notebook
# prints a warning, and goes on.

# %% tags=["claim"]
# Cut at 512, the prompt no longer holds the last line of the dialogue that is asked for.
last_line = dialogues[0].input.split("\n")[-1]
assert last_line in model.tokenizer.decode(list(whole))
assert last_line not in model.tokenizer.decode(list(whole[:512]))
assert len(whole) > 512

# %% [markdown]
# ## Run: what the model answers
#
# Three dialogues, each asked in three ways: with three examples in the large window, with what fits into 512, and with
# the prompt that was cut without care.

# %%
few = dialogues[:3]
ways = {
    "all three examples": [prompt(one, 3, 8192).prompt_ids for one in few],
    "what fits into 512": [prompt(one, 3, 512).prompt_ids for one in few],
    "cut at 472": [prompt(one, 3, 8192).prompt_ids[:472] for one in few],
}
means = {}
for name, prompts in ways.items():
    asked = [luthier.Request(one.id, ids, 40) for one, ids in zip(few, prompts)]
    answers = answered(model, asked)
    scores = [score.values["rouge1"] for score in luthier.score(answers, few, ["rouge1"])]
    means[name] = sum(scores) / len(scores)
    print(f"{name}: {answers[0].text[:100]!r}")
show(Table(("prompt", "mean ROUGE-1 of three"), [(name, f"{mean:.3f}") for name, mean in means.items()]))

# %% [markdown]
# The last way has 472 tokens, so that forty are left. All of its prompts are equal, since the examples fill them. So
# all answers are equal too, and belong to no dialogue.

# %% tags=["claim"]
# Cut at 472, all three prompts are the same. With care they differ.
assert len(set(ways["cut at 472"])) == 1 and len(ways["cut at 472"][0]) == 472 == 512 - 40
assert len(set(ways["what fits into 512"])) == 3

# %% [markdown]
# ## Fill a hole
#
# What does a careless cut leave? A prompt is made of parts: the examples in order, and the question behind them. A
# program keeps the first `window` tokens and throws the rest away. Return how many tokens of each part are left.


# %% tags=["hole"]
def left_of_each(parts: list[int], window: int) -> list[int]:
    """For each part of a prompt, given by its tokens, how many of them stand before the cut."""
    ### BEGIN SOLUTION
    left = []
    for part in parts:
        left.append(min(part, window - sum(left)))
    return left
    ### END SOLUTION


# %% tags=["test"]
assert left_of_each([200, 200, 200], 512) == [200, 200, 112], "left_of_each: the cut goes through the middle of a part"
### BEGIN HIDDEN TESTS
assert left_of_each([300, 300, 250], 512) == [300, 212, 0], "left_of_each: of a part behind the cut nothing is left"
assert left_of_each([100, 150], 512) == [100, 150], "left_of_each: a prompt that fits is not cut"
### END HIDDEN TESTS

# %% tags=["claim"]
# So it is with the prompts of the third way: the examples fill the window, and nothing of the question is left.
lengths = [len(prompt(few[0], count, 8192).prompt_ids) for count in range(4)]
shots_alone = [after - before for before, after in pairwise(lengths)]
assert left_of_each([*shots_alone, lengths[0]], 472)[-1] == 0

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab1.4b/left", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab1.4b/window", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab1.4b/no-warning", my_choice)

# %% [markdown]
# ## What this does not show
#
# Whether more examples make better answers is not to be seen from three dialogues. Lesson 1.12 says how many it takes.
# And a window says what a model can read. How well it uses what stands far back is another matter.
