# %% [markdown]
# # 1.3 Context window
#
# A model reads and writes in one window. It has a fixed number of places, and each token takes one. In this lesson you
# make the window smaller and watch what falls out of it.

# %% [markdown]
# ## Predict
#
# You ask for a summary of a dialogue. Before it stand three worked examples, called shots. The window has 512 tokens,
# and 80 of them are kept for the answer. How many of the three shots does the model see?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = None  # @param {type:"integer"}
predict("1.3/shots", my_guess)

# %% [markdown]
# ## Turn a dial: the window
#
# One function of luthier makes all prompts: the renderer. It fits them into the window. First it leaves out shots, the
# last one first. When even that is not enough, it cuts the dialogue at its end. It counts both.

# %% tags=["dials"]
window = 512  # @param {type:"slider", min:160, max:2048, step:16}
room = 80  # @param {type:"slider", min:0, max:200, step:10}

# %%
from dataclasses import replace
from itertools import pairwise

import luthier
from luthier.task.prompt import draw_shots

model = luthier.load("smollm2-135m")
task = luthier.load_task("dialogues")
text = task.spec.prompt.templates["plain"]
three_shots = draw_shots(task.train, 3, seed=0)
example = task.dev[0]


def prompt_in(window: int, room: int, example=example, shots=three_shots):
    """The prompt of an example in a window of so many tokens, with room for the answer."""
    return replace(model.renderer, window=window).prompt(example, text, shots, room=room)


print(f"the model's own window: {model.window:,} tokens")
mine = prompt_in(window, room)
parts = [("prompt", len(mine.prompt_ids)), ("kept for the answer", room)]
parts.append(("free", window - room - len(mine.prompt_ids)))
show(bars(f"A window of {window} tokens", parts, "tokens"))
print(f"shots in the prompt: {len(mine.shots)}, left out: {mine.shots_dropped}; cut from the dialogue: ", end="")
print(f"{mine.tokens_cut} tokens")
print("the prompt ends with:", repr(mine.text[-150:]))

# %% [markdown]
# At 512 tokens with room for 80, no shot is left. With one shot the prompt would have 434 tokens. That is below 512.
# But 434 and 80 are more than 512. The answer needs places too, and it stands in the same window. Set the room to zero
# and the first shot comes back.

# %% tags=["claim"]
# The prompt with one shot has 434 tokens. It fits 512 alone, and not beside an answer of 80.
assert len(prompt_in(2048, 80, shots=three_shots[:1]).prompt_ids) == 434
assert len(prompt_in(512, 80).shots) == 0
assert len(prompt_in(512, 0).shots) == 1
# The model has a far larger window: all three shots fit.
assert len(prompt_in(model.window, 80).shots) == 3

# %% [markdown]
# ## All dialogues
#
# Here are the 48 dialogues of the task's development set at several windows.

# %%
rows = []
counted = {}
for size in (256, 384, 512, 1024, 2048):
    prompts = [prompt_in(size, 80, one) for one in task.dev]
    kept = sum(len(prompt.shots) for prompt in prompts)
    cut = sum(prompt.tokens_cut > 0 for prompt in prompts)
    counted[size] = kept, cut
    rows.append((size, f"{kept / len(prompts):.2f}", cut, sum(prompt.tokens_cut for prompt in prompts)))
show(Table(("window", "shots a prompt", "dialogues cut", "tokens cut"), rows))

# %% [markdown]
# At 512 tokens no dialogue is cut, but of 144 shots only 20 are left. An experiment "with three shots" would hardly
# have any. At 256 tokens 42 dialogues of 48 have lost their end. The model says nothing about it. It cannot know.

# %% tags=["claim"]
# 512 tokens: of 144 shots 20 stay, and no dialogue is cut. 256 tokens: no shots, and 42 of 48 dialogues are cut.
assert len(task.dev) == 48
assert 3 * len(task.dev) == 144
assert counted[512] == (20, 0)
assert counted[256] == (0, 42)

# %% [markdown]
# ## What a cut costs
#
# Take four dialogues and their summaries. How surprised is the model by a summary? Bits per character measure it, and
# fewer are better. First it has read the whole dialogue. Then it has read what fits into 220 tokens with the summary.

# %%
import math

from luthier.decoding.likelihood import reference_nats


def bits(window: int, examples) -> float:
    """Bits per character of the summaries behind their dialogues, in a window of so many tokens."""
    renderer = replace(model.renderer, window=window)
    prompts = [renderer.prompt(one, text, train=True) for one in examples]
    characters = sum(len(one.references[0]) for one in examples)
    return sum(reference_nats(model, prompts)) / math.log(2) / characters


four = [task.dev[at] for at in (0, 3, 4, 5)]
whole, cut_short = bits(model.window, four), bits(220, four)
show(Table(("window", "bits per character"), [(model.window, f"{whole:.3f}"), (220, f"{cut_short:.3f}")]))

# %% tags=["claim"]
# With a window of 220 tokens the model has not read the ends, and the summaries surprise it more.
assert cut_short > whole + 0.05

# %% [markdown]
# ## Fill a hole
#
# Write what the renderer decides. You know how many tokens the template takes, how many the dialogue, and how many
# each shot. Return two numbers: how many shots stay, and how many tokens the dialogue loses. Shots go first, the last
# one first. The template is never cut.


# %% tags=["hole"]
def fitted(window: int, room: int, template: int, dialogue: int, shots: list[int]) -> list[int]:
    """[shots that stay, tokens cut from the dialogue]."""
    ### BEGIN SOLUTION
    free = window - room - template
    kept = len(shots)
    while kept and dialogue + sum(shots[:kept]) > free:
        kept -= 1
    return [kept, max(0, dialogue - free)]
    ### END SOLUTION


# %% tags=["test"]
assert fitted(1000, 0, 20, 300, [200, 200, 200]) == [3, 0], "fitted: shots stay when all of them fit"
assert fitted(800, 0, 20, 300, [200, 200, 200]) == [2, 0], "fitted: leave out the last shot when not all fit"
### BEGIN HIDDEN TESTS
assert fitted(720, 50, 20, 300, [200, 200]) == [1, 0], "fitted: the room for the answer is taken from the window"
assert fitted(300, 50, 20, 300, [200]) == [0, 70], "fitted: cut the dialogue when it does not fit without shots"
assert fitted(620, 0, 20, 300, [400, 100]) == [0, 0], "fitted: shots go from the last one on; none is skipped"
### END HIDDEN TESTS

# %% tags=["claim"]
# Shots take the same places wherever they stand, so the function agrees with the renderer on all 48 dialogues.
lengths = [len(prompt_in(2048, 0, task.dev[0], three_shots[:n]).prompt_ids) for n in range(4)]
each = [after - before for before, after in pairwise(lengths)]
for one in task.dev:
    alone = len(prompt_in(2048, 0, one, []).prompt_ids)
    assert fitted(512, 80, 0, alone, each)[0] == len(prompt_in(512, 80, one).shots)

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.3/shots", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.3/cut", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.3/silent", my_choice)

# %% [markdown]
# ## What this does not show
#
# A text may fit into the window, and the model may still not use all of it. Models with a large window often use its
# middle badly. And whether shots help at all is another question. Lesson 1.12 asks it.
