# %% [markdown]
# # 1.2 Large language models
#
# A language model gives each possible next token a probability. It computes these probabilities from a list of numbers,
# its parameters. In this lesson you look at both: at what comes out, and at what is inside.

# %% [markdown]
# ## Predict
#
# SmolLM2-135M has about 134.5 million parameters. Some of them are embeddings: each token has a vector of its own. How
# many percent of the parameters are that?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

about = 134.5  # million parameters
my_guess = None  # @param {type:"number"}
predict("1.2/share", my_guess)

# %% [markdown]
# ## Turn a dial: what comes out
#
# Write the beginning of a sentence. The model says what may come next.

# %% tags=["dials"]
my_sentence = "The violet penguin repaired the"  # @param {type:"string"}
top = 8  # @param {type:"slider", min:1, max:20, step:1}

# %%
import luthier

model = luthier.load("smollm2-135m")


def next_tokens(text: str, top: int = 8) -> list[tuple[str, float]]:
    """The likeliest next tokens of a text with their probabilities."""
    ids = tuple(model.tokenizer(text)["input_ids"])
    event = next(iter(luthier.generate(model, [luthier.Request("next", ids, 1, top=top)])))
    return [(model.tokenizer.decode([one.token]), one.before) for one in event.candidates]


show(bars("Probability of the next token", [(repr(token), share) for token, share in next_tokens(my_sentence, top)]))

# %% [markdown]
# Nobody has ever written of a violet penguin that repairs. So the model cannot look the sentence up. It still has an
# opinion of each of its 49,152 tokens, and most of them get nearly nothing.

# %% tags=["claim"]
# There are 49,152 tokens. Together their probabilities are 1, and eight of them hold more than a tenth of it.
every = next_tokens("The violet penguin repaired the", 49_152)
assert len(every) == 49_152 == len(model.tokenizer)
assert abs(sum(share for _, share in every) - 1) < 0.01
assert sum(share for _, share in every[:8]) > 0.1

# %% [markdown]
# ## What is inside
#
# The parameters are of four kinds. Embeddings give each token a vector. Attention lets tokens look at others. The MLP
# works on each token alone. Norms keep the numbers from growing too large. We count what was really loaded.

# %%
kinds = {"embed": "embeddings", "attn": "attention", "mlp": "MLP", "norm": "norms"}
inside = dict.fromkeys(kinds.values(), 0)
for name, parameter in model.module.named_parameters():
    kind = next(kinds[part] for part in ("norm", "embed", "attn", "mlp") if part in name)
    inside[kind] += parameter.numel()
total = sum(inside.values())
show(bars("Parameters by part", [(name, count / 1e6) for name, count in inside.items()], "million"))
rows = [(name, f"{count:,}", f"{100 * count / total:.2f} %") for name, count in inside.items()]
show(Table(("part", "parameters", "share"), [*rows, ("together", f"{total:,}", "")]))

# %% [markdown]
# Embeddings are 21 % of this model: 49,152 tokens with 576 numbers each. In a large model this share is small, since
# its other parts grow faster. The output layer costs nothing here. It is the embedding once more.

# %% tags=["claim"]
# 134,515,008 parameters, counted. Embeddings: 49,152 x 576, which is 21 % of all.
assert total == 134_515_008
assert inside["embeddings"] == 49_152 * 576
assert round(100 * inside["embeddings"] / total) == 21
assert round(total / 1e6, 1) == 134.5

# %% [markdown]
# ## Does it store sentences?
#
# The model was trained on about `2e12` tokens [Allal et al. 2025]. Suppose that all its numbers were a store for them.
# How much room would each token have?

# %%
bits = 16 * total / 2e12
print(f"{bits:.4f} bits for each token that it has read")

# %% [markdown]
# That is about 0.001 bits a token. A single letter takes more than that, even in a well packed file. So the model
# cannot hold what it has read. It holds what is useful again and again. It knows a text by heart only if it read it
# very often.

# %% tags=["claim"]
# Sixteen bits of each parameter, for 2e12 tokens: about 0.001 bits a token.
assert round(bits, 3) == 0.001

# %% [markdown]
# ## Fill a hole
#
# Count a model from its shape alone. The embedding has a vector of `width` for each token. A layer has four matrices of
# attention: query and output are `width` by `width`, key and value are `width` by `kv_width`. Its MLP has three
# matrices of `width` by `inner`. There are two norms of `width` in each layer, and one at the end.


# %% tags=["hole"]
def parts_of(vocabulary: int, width: int, layers: int, inner: int, kv_width: int) -> list[int]:
    """[embeddings, attention, MLP, norms] as numbers of parameters."""
    ### BEGIN SOLUTION
    attention = 2 * width * width + 2 * width * kv_width
    return [vocabulary * width, layers * attention, layers * 3 * width * inner, (2 * layers + 1) * width]
    ### END SOLUTION


# %% tags=["test"]
assert parts_of(10, 4, 1, 8, 4) == [40, 64, 96, 12], "parts_of: count each matrix as rows times columns"
### BEGIN HIDDEN TESTS
assert parts_of(10, 4, 1, 8, 2) == [40, 48, 96, 12], "parts_of: key and value may be narrower than the width"
assert parts_of(10, 4, 3, 8, 4) == [40, 192, 288, 28], "parts_of: each layer has its own parts, and one norm ends it"
### END HIDDEN TESTS

# %% tags=["claim"]
# The formula gives what was loaded.
config = model.module.config
kv_width = config.hidden_size // config.num_attention_heads * config.num_key_value_heads
counted = parts_of(
    config.vocab_size, config.hidden_size, config.num_hidden_layers, config.intermediate_size, kv_width
)  # fmt: skip
assert counted == list(inside.values())

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.2/share", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.2/layer", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.2/stores", my_choice)

# %% [markdown]
# ## What this does not show
#
# Counting parameters does not say what they do. Models do know some texts by heart, and the average of bits says
# nothing about a single text. And a model with more parameters is not always better. Lesson 1.19 asks what else counts.
