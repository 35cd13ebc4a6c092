# %% [markdown]
# # 1.11 Encoder, decoder, and encoder-decoder
#
# Three families of transformers are built from the same blocks. They differ in one thing: which token may look at
# which. In this lesson you see the three masks, and train one tiny model of each family.

# %% [markdown]
# ## Predict
#
# A text has eight tokens. In an encoder each token looks at each token, itself included. In a decoder each token looks
# at itself and at those before it. How many pairs of tokens does each of them have?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, grid, show

my_guess_encoder = None  # @param {type:"integer"}
my_guess_decoder = None  # @param {type:"integer"}
predict("1.11/pairs-encoder", my_guess_encoder)
predict("1.11/pairs-decoder", my_guess_decoder)

# %% [markdown]
# ## Run: one sentence, three masks
#
# Here are three new models. They have learned nothing yet. Look only at where there is colour: a row is a token that
# looks, a column is a token that is seen.

# %%
import torch

from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

words = ["the", "cat", "that", "I", "saw", "ate", "my", "fish"]
source = ["die", "Katze", "fraß", "Fisch", "."]


def maps_of(family: str, tokens: int, source_tokens: int = 5) -> dict[str, torch.Tensor]:
    """The attention of every layer of a new model of one head; a key is a stack and its layer."""
    torch.manual_seed(0)
    model = Transformer(Shape(vocabulary=16, family=family, width=16, layers=1, heads=1, positions="learned")).eval()
    maps = {}
    reads = {"source_BS": torch.arange(source_tokens)[None]} if family == "encoder-decoder" else {}
    with torch.no_grad():
        model(torch.arange(tokens)[None], maps=maps, **reads)
    return maps


shown = maps_of("encoder", len(words))["encoder.0"][0, 0].tolist()
show(grid("In an encoder each token sees each token", words, words, shown))
shown = maps_of("decoder", len(words))["decoder.0"][0, 0].tolist()
show(grid("In a decoder each token sees itself and those before it", words, words, shown))
both = maps_of("encoder-decoder", len(words))
cross = next(name for name in both if "cross" in name)
show(grid("Each written token sees the whole source", words, source, both[cross][0, 0].tolist()))
print("an encoder-decoder has", ", ".join(both))

# %% [markdown]
# An encoder-decoder has three masks. Its encoder sees the source both ways. Its decoder looks back at what it wrote.
# And each written token looks at the whole source. The last one is called cross-attention.

# %% [markdown]
# ## Turn a dial: count the pairs
#
# Set the lengths. The counts are taken from the models: a pair counts where attention is above zero.

# %% tags=["dials"]
tokens = 8  # @param {type:"slider", min:1, max:16, step:1}
source_tokens = 5  # @param {type:"slider", min:1, max:16, step:1}


# %%
def pairs(family: str, name: str, tokens: int, source_tokens: int = 5) -> int:
    """How many pairs of a looking and a seen token have attention."""
    return int((maps_of(family, tokens, source_tokens)[name] > 0).sum())


counted = [
    ("encoder", pairs("encoder", "encoder.0", tokens)),
    ("decoder", pairs("decoder", "decoder.0", tokens)),
    ("cross-attention", pairs("encoder-decoder", cross, tokens, source_tokens)),
]
show(Table(("mask", "pairs"), counted))

# %% [markdown]
# With eight tokens an encoder has 64 pairs and a decoder 36. Eight tokens that look at a source of five have 40.

# %% tags=["claim"]
# Eight tokens: 64 pairs in an encoder, 36 in a decoder; 40 across to a source of five.
assert pairs("encoder", "encoder.0", 8) == 64
assert pairs("decoder", "decoder.0", 8) == 36
assert pairs("encoder-decoder", cross, 8, 5) == 40

# %% [markdown]
# ## Fill a hole
#
# Write the counts as formulas, for any lengths.


# %% tags=["hole"]
def visible_pairs(family: str, tokens: int, source: int = 0) -> int:
    """Pairs of one layer: of an encoder, of a decoder, or of an encoder-decoder's decoder with its cross-attention."""
    ### BEGIN SOLUTION
    if family == "encoder":
        return tokens * tokens
    back = tokens * (tokens + 1) // 2
    return back if family == "decoder" else back + tokens * source
    ### END SOLUTION


# %% tags=["test"]
assert visible_pairs("encoder", 8) == 64, "visible_pairs: in an encoder each token sees each token"
assert visible_pairs("decoder", 8) == 36, "visible_pairs: in a decoder a token sees itself and those before it"
### BEGIN HIDDEN TESTS
assert visible_pairs("decoder", 1) == 1, "visible_pairs: in a decoder a token sees itself and those before it"
assert visible_pairs("encoder-decoder", 8, 5) == 76, "visible_pairs: add the pairs across, written times source"
assert visible_pairs("encoder-decoder", 5, 8) == 55, "visible_pairs: add the pairs across, written times source"
### END HIDDEN TESTS

# %% [markdown]
# ## Three abilities
#
# Now the models learn. The texts are random letters. There are three things to do:
#
# - label: the first position says whether a certain letter is in the text
# - continue: say the next number of a count
# - rewrite: write the letters in reverse
#
# Each takes some seconds.

# %%
import random

from luthier.scratch.drawn import share_right, train_drawn
from luthier.scratch.generated import counting
from luthier.scratch.objectives import IGNORE, Row

LETTERS, START, YES, NO = 10, 10, 11, 12


def label(dice: random.Random) -> Row:
    """Seven letters behind a start; only the start has a target: whether the letter 0 is among them."""
    letters = [dice.randrange(1, LETTERS) for _ in range(7)]
    if there := dice.random() < 0.5:
        letters[dice.randrange(7)] = 0
    return Row((START, *letters), (0,) * 8, (YES if there else NO, *[IGNORE] * 7))


def go_on(dice: random.Random) -> Row:
    """A count of eight numbers; each has the next one as its target, from the third on."""
    ids, _ = counting(LETTERS, 9, dice)
    return Row(tuple(ids[:8]), (0,) * 8, (IGNORE, *ids[2:9]))


def rewrite(dice: random.Random) -> Row:
    """Six letters for the encoder, the same in reverse for the decoder."""
    ids = [dice.randrange(LETTERS) for _ in range(6)]
    back = ids[::-1]
    return Row((START, *back[:5]), (0,) * 6, tuple(back), source=tuple(ids))


def learned(family: str, draw, steps: int = 400) -> tuple[Transformer, float]:
    """A model of a family that was trained on one ability, and its share of right tokens on new texts."""
    torch.manual_seed(1)
    shape = Shape(vocabulary=16, family=family, width=32, layers=2, heads=4, positions="learned", window=16)
    model = Transformer(shape)
    train_drawn(model, draw, steps=steps)
    return model, share_right(model, draw)


encoder, encoder_labels = learned("encoder", label)
decoder, decoder_continues = learned("decoder", go_on)
rewriter, rewrites = learned("encoder-decoder", rewrite, steps=500)
shares = [
    ("an encoder labels", encoder_labels),
    ("a decoder continues", decoder_continues),
    ("an encoder-decoder rewrites", rewrites),
]
show(Table(("ability", "right"), [(name, f"{share:.2f}") for name, share in shares]))

# %% tags=["claim"]
# Each family learns its ability: more than 0.95 right on new texts.
assert min(encoder_labels, decoder_continues, rewrites) > 0.95

# %% [markdown]
# ## The wrong family
#
# Now give the label to a decoder, at the first position as before. And let both learn to say the next letter of a text
# that is pure chance. Nobody can know that letter before he has seen it.

# %%
_, decoder_labels = learned("decoder", label)


def chance(dice: random.Random) -> Row:
    """Eight letters of pure chance; each but the last has the next one as its target."""
    ids = [dice.randrange(LETTERS) for _ in range(8)]
    return Row(tuple(ids), (0,) * 8, (*ids[1:], IGNORE))


_, encoder_next = learned("encoder", chance)
_, decoder_next = learned("decoder", chance)
print(f"a decoder labels at the first position: {decoder_labels:.2f} right")
print(f"the next letter of pure chance: encoder {encoder_next:.2f}, decoder {decoder_next:.2f} right")

# %% [markdown]
# The decoder cannot label at the first position, because it has seen nothing there. It could give the label at the
# end, where it has seen everything. That is how decoders label texts.
#
# The encoder says letters that nobody can know. It looks at the next token and copies it. Its loss is low, and what it
# learned is worth nothing. That is why encoders learn from hidden words.

# %% tags=["claim"]
# The decoder's labels are near 0.5, which is a guess. Of pure chance the encoder says more than 0.95 right, and the
# decoder about one letter in ten.
assert 0.35 < decoder_labels < 0.65
assert encoder_next > 0.95
assert decoder_next < 0.2

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.11/pairs", my_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.11/old-gpt", my_choice)

# %% [markdown]
# ## What this does not show
#
# These models are tiny, and their texts are random letters. A large decoder can rewrite and label as well, when the
# prompt asks for it. In practice large decoders won. That has other reasons than their mask, such as how easily they
# learn from any text. This lesson does not weigh these reasons.
