# %% [markdown]
# # 1.13 Generative configuration
#
# A model does not write a word. It gives each token of its vocabulary a probability, and somebody has to choose. In
# this lesson you turn the dials of that choice: temperature, top-k, top-p, and the limit on new tokens.

# %% [markdown]
# ## Predict
#
# You ask a model the same question eight times, each time with another seed. The temperature is `0.1`, so it hardly
# dares anything. How many different answers do you get? And how many at a temperature of `0.7`?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_cold = None  # @param {type:"integer"}
my_guess_warm = None  # @param {type:"integer"}
predict("1.13/answers-cold", my_guess_cold)
predict("1.13/answers-warm", my_guess_warm)

# %% [markdown]
# ## Run: one distribution
#
# The model reads a text. Here is what it thinks of the next token.

# %%
import luthier
from luthier.decoding.generate import answered

model = luthier.load("smollm2-135m")
text = "For her birthday my grandmother baked a"
ids = model.tokenizer(text)["input_ids"]


def next_tokens(generation: luthier.Generation, top: int = 8) -> list[tuple[str, float, float]]:
    """(token, probability by the model, probability after the dials) of the likeliest next tokens."""
    request = luthier.Request("next", tuple(ids), 1, generation, top=top)
    event = next(iter(luthier.generate(model, [request])))
    return [(model.tokenizer.decode([one.token]), one.before, one.after) for one in event.candidates]


plain = next_tokens(luthier.Generation(temperature=1.0))
show(bars("Probability of the next token", [(repr(token), before) for token, before, _ in plain]))

# %% [markdown]
# ## Turn a dial
#
# Temperature divides the model's scores before they become probabilities. Below one, the likely tokens get likelier.
# Above one, the unlikely ones get a chance. Then top-k keeps the k likeliest tokens, and top-p keeps the fewest tokens
# that together hold a probability of p. Turn the dials and run both cells again.

# %% tags=["dials"]
temperature = 0.7  # @param {type:"slider", min:0.1, max:2, step:0.1}
top_k = 0  # @param {type:"slider", min:0, max:50, step:1}
top_p = 1.0  # @param {type:"slider", min:0.05, max:1, step:0.05}

# %%
turned = next_tokens(luthier.Generation(temperature=temperature, top_k=top_k, top_p=top_p))
rows = [(repr(token), f"{before:.3f}", f"{after:.3f}") for token, before, after in turned]
show(Table(("next token", "by the model", "after the dials"), rows))

# %% [markdown]
# Compare the order of the tokens in both columns. It is the same, whatever the temperature is. A high temperature does
# not change what the model finds likely. It changes how often we take something else.

# %% tags=["claim"]
# At a temperature of 0.3 and of 2.0 the tokens stand in the same order as by the model itself.
for heat in (0.3, 1.0, 2.0):
    heated = next_tokens(luthier.Generation(temperature=heat))
    assert [after for _, _, after in heated] == sorted((after for _, _, after in heated), reverse=True)
    assert [token for token, _, _ in heated] == [token for token, _, _ in plain]

# %% [markdown]
# ## Eight seeds
#
# Now the model answers a question eight times. Each answer has its own seed, and at most twenty new tokens.

# %%
question = [{"role": "user", "content": "Suggest a name for a small bakery. Answer with the name alone."}]
asked = tuple(model.tokenizer.apply_chat_template(question, add_generation_prompt=True)["input_ids"])


def answers(temperature: float, most: int = 20) -> list[str]:
    """The answers of eight seeds."""
    dials = luthier.Generation(temperature=temperature)
    requests = [luthier.Request(str(seed), asked, most, dials, seed=seed) for seed in range(8)]
    return [answer.text.strip() for answer in answered(model, requests)]


cold, warm = answers(0.1), answers(0.7)
different_cold, different_warm = len(set(cold)), len(set(warm))
show(Table(("seed", "T = 0.1", "T = 0.7"), [(n, a[:40], b[:40]) for n, (a, b) in enumerate(zip(cold, warm))]))
print(f"different answers: {different_cold} at 0.1, {different_warm} at 0.7")

# %% tags=["claim"]
# The warm model gives more different answers than the cold one. Greedy decoding gives one, whatever the seed.
assert different_warm > different_cold
assert len(set(answers(0.0))) == 1

# %% [markdown]
# Only a temperature of zero is greedy. At `0.1` the model still draws, and sometimes it draws another token.

# %% [markdown]
# ## Fill a hole
#
# Write top-p yourself. The probabilities stand in order, the largest first. Return how many tokens may be drawn: the
# fewest that together hold at least p. One token always stays.
#
# Take care with sums. A well-known slide keeps two tokens because `0.2 + 0.1` is not above `0.30`. Ask Python.

# %%
print(0.2 + 0.1, 0.2 + 0.1 <= 0.30)


# %% tags=["hole"]
def kept_by_top_p(probabilities: list[float], p: float) -> int:
    """How many of the ordered probabilities top-p keeps."""
    ### BEGIN SOLUTION
    held = 0.0
    for count, probability in enumerate(probabilities, 1):
        held += probability
        if held >= p - 1e-9:
            return count
    return len(probabilities)
    ### END SOLUTION


# %% tags=["test"]
assert kept_by_top_p([0.5, 0.3, 0.15, 0.05], 0.7) == 2, "kept_by_top_p: the token that reaches p is kept as well"
### BEGIN HIDDEN TESTS
assert kept_by_top_p([0.5, 0.3, 0.15, 0.05], 0.2) == 1, "kept_by_top_p: one token always stays"
assert kept_by_top_p([0.1] * 10, 0.8) == 8, (
    "kept_by_top_p: eight times 0.1 misses 0.8 in Python by a hair; allow for that hair"
)
### END HIDDEN TESTS

# %% tags=["claim"]
# In Python 0.2 + 0.1 is a little more than 0.3, so a slide's 0.2 + 0.1 <= 0.30 is false.
assert not 0.2 + 0.1 <= 0.30
assert kept_by_top_p([0.2, 0.1, 0.02], 0.3) == 2

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.13/top-p", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.13/temperature", my_other_answer)

# %% [markdown]
# ## What this does not show
#
# You saw one small model and one question. Whether answers at a higher temperature are better or worse is another
# matter. That takes many questions, and a score for each answer. Lesson 1.12 shows how many it takes.
