# %% [markdown]
# # 1.15 Encoder-only models
#
# An encoder looks at a text from both sides. It learns to say words that were hidden from it. Then it gets a small head
# and labels texts. In this lesson you train a tiny encoder on hidden letters, and put a head on a real one.

# %% [markdown]
# ## Predict
#
# A text is one letter, eight times: AAAAAAAA or BBBBBBBB, each half of the time. A model has learned such texts
# perfectly. All eight letters are hidden, and an encoder says each of them on its own. How often is the result one
# letter, eight times? Answer in percent.

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, Tokens, bars, show

my_guess = None  # @param {type:"number"}
predict("1.15/whole", my_guess)

# %% [markdown]
# ## Run: hidden tokens
#
# BERT's rule hides 15 percent of the tokens. Most of them become a mask. Some are exchanged for another word, and some
# stay as they are. Only these tokens count: for all others the model has to say nothing.

# %% tags=["dials"]
sentence = "We sat at the pier and ate hot soup and fed two gulls and let the last boat go by"  # @param {type:"string"}
seed = 3  # @param {type:"slider", min:0, max:30, step:1}

# %%
import random

from luthier.scratch.objectives import IGNORE, Row, Vocabulary, masked


def masked_row(length: int, seed: int) -> Row:
    """A row of `length` different tokens, some of them hidden by BERT's rule."""
    ids = tuple(range(length))
    return masked(Row(ids, (0,) * length, ids), Vocabulary(length, end=length), random.Random(seed))


words = sentence.split()
row = masked_row(len(words), seed)
read = [words[one] if one < len(words) else "[MASK]" for one in row.ids]
show(Tokens(read, [float(target != IGNORE) for target in row.targets]))
print("to be said:", ", ".join(words[target] for target in row.targets if target != IGNORE))

# %% [markdown]
# Of 20 words three count. A decoder would have learned from 19. So an encoder reads a text and learns from a small part
# of it. What it gets in return is the words on both sides.

# %% tags=["claim"]
# Of 20 words 15 percent (0.15) are to be said: 3. A decoder says 19 of 20.
for one in range(20):
    assert masked_row(20, one).supervised == 3 == round(0.15 * 20)
assert len(range(1, 20)) == 19

# %% [markdown]
# ## Both sides
#
# Here are counts such as `3 5 7 9`. One number is hidden. An encoder and a decoder of the same size learn to say it, at
# the place where it stood.

# %%
import torch

from luthier.scratch.drawn import share_right, train_drawn
from luthier.scratch.generated import counting
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

TEN, MASK = 10, 10


def draw_at(place: int | None):
    """Rows of a count of eight numbers of which one is hidden: at `place`, or anywhere."""

    def draw(dice: random.Random) -> Row:
        ids, _ = counting(TEN, 8, dice)
        at = dice.randrange(8) if place is None else place
        read = [MASK if here == at else one for here, one in enumerate(ids)]
        return Row(tuple(read), (0,) * 8, tuple(one if here == at else IGNORE for here, one in enumerate(ids)))

    return draw


def learned(family: str) -> Transformer:
    torch.manual_seed(0)
    module = Transformer(
        Shape(vocabulary=12, family=family, width=32, layers=2, heads=4, positions="learned", window=8)
    )
    train_drawn(module, draw_at(None), steps=600, rows=64)
    return module


encoder, decoder = learned("encoder"), learned("decoder")
by_place = [(share_right(encoder, draw_at(place)), share_right(decoder, draw_at(place))) for place in range(8)]
rows = [(str(place + 1), f"{one:.2f}", f"{other:.2f}") for place, (one, other) in enumerate(by_place)]
show(Table(("hidden number", "encoder", "decoder"), rows))

# %% [markdown]
# The decoder does well where enough numbers stand before the hidden one. At the first two places it can only guess. The
# encoder reads what stands behind.

# %% tags=["claim"]
# The encoder is right at every place, more than 0.9. At the first two places the decoder is below 0.4.
assert min(one for one, _ in by_place) > 0.9
assert max(by_place[0][1], by_place[1][1]) < 0.4
assert by_place[7][1] > 0.9

# %% [markdown]
# ## Why an encoder does not write
#
# Now the texts of your prediction. Any number of letters is hidden, so the encoder also sees texts without a letter. At
# the end all eight are hidden, and each letter is drawn with the encoder's own probabilities.

# %%
A, B = 0, 1


def one_letter(dice: random.Random) -> Row:
    """Eight times A or eight times B, some of them hidden."""
    letter, hidden = dice.choice((A, B)), dice.sample(range(8), dice.randint(1, 8))
    read = [2 if at in hidden else letter for at in range(8)]
    return Row(tuple(read), (0,) * 8, tuple(letter if at in hidden else IGNORE for at in range(8)))


torch.manual_seed(0)
writer = Transformer(Shape(vocabulary=3, family="encoder", width=16, layers=1, heads=2, positions="learned", window=8))
train_drawn(writer, one_letter, steps=150)
with torch.no_grad():
    probabilities = writer.eval()(torch.full((1, 8), 2))[0, :, :2].softmax(-1)
drawn = torch.multinomial(probabilities, 1000, replacement=True, generator=torch.Generator().manual_seed(0)).T
whole = sum(len(set(text)) == 1 for text in drawn.tolist()) / 1000
for text in drawn[:4].tolist():
    print("".join("AB"[letter] for letter in text))
print(f"one letter eight times: {100 * whole:.1f} % of 1,000 texts")

# %% [markdown]
# Each place is right by itself: half A, half B. Together they are nonsense. No place knows what the others have drawn.
# A decoder draws the first letter, reads it, and goes on with the same one. That is why decoders write.

# %% tags=["claim"]
# Each place gives A a share near one half (0.5). Fewer than 5 percent of the texts are whole; by chance it is below 1.
assert all(abs(float(share) - 0.5) < 0.15 for share in probabilities[:, A])
assert whole < 0.05
assert 2 * 0.5**8 < 0.01

# %% [markdown]
# ## A head on a real encoder
#
# MiniLM is an encoder of 22 million parameters. It turns a dialogue into one vector of 384 numbers. A head is a linear
# layer on top. Here it has to say which of 12 kinds of situation a dialogue is about. The encoder itself stays as it
# is.

# %%
import luthier

task = luthier.load_task("dialogues:kind")
minilm = luthier.load("minilm", labels=task.labels)


@torch.no_grad()
def vectors(examples: list[luthier.Example]) -> list[list[float]]:
    """For each dialogue, what the head of the encoder reads."""
    seen: list[list[float]] = []
    hook = minilm.module.classifier.register_forward_pre_hook(lambda _, given: seen.extend(given[0].float().tolist()))
    for example in examples:
        ids = minilm.renderer.prompt(example, task.template("bare")).prompt_ids
        minilm.module.eval()(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)))
    hook.remove()
    return seen


train = sorted(task.train, key=lambda example: len(example.input))[:96]
test = sorted(task.test, key=lambda example: len(example.input))[:48]
train_vectors, test_vectors = vectors(train), vectors(test)
print(f"{len(train_vectors)} dialogues, each as {len(train_vectors[0])} numbers")

# %%
from sklearn.linear_model import LogisticRegression

from luthier.adapt.baselines import commonest
from luthier.adapt.settings import NoSettings
from luthier.stats.intervals import share_of

head = LogisticRegression(C=100, max_iter=1000).fit(train_vectors, [example.references[0] for example in train])
said = [luthier.Answer(one.id, str(label)) for one, label in zip(test, head.predict(test_vectors))]
arms = {"MiniLM and a head": said, "the commonest kind": commonest(NoSettings(), train, test)}
accuracy = {}
for name, answers in arms.items():
    right = [score.values["accuracy"] for score in luthier.score(answers, test, labels=task.labels)]
    accuracy[name] = sum(right) / len(right)
    low, high = share_of(right).interval(0.95)
    print(f"{name}: {accuracy[name]:.2f} right, 95 % interval {low:.2f} to {high:.2f}")
show(bars("Right on 48 new dialogues", accuracy.items()))

# %% [markdown]
# Nothing was written here. The encoder read each dialogue once, and the head chose a label. So an encoder labels texts
# with little work. It also ranks and finds texts by their vectors.

# %% tags=["claim"]
# A vector has 384 numbers; there are 12 kinds. The head is right more than twice as often as the commonest kind.
assert len(train_vectors[0]) == 384 and len(task.labels) == 12
assert accuracy["MiniLM and a head"] > 0.25 > 2 * accuracy["the commonest kind"]
# 22 million parameters.
assert 22e6 < sum(one.numel() for one in minilm.module.parameters()) < 23e6

# %% [markdown]
# ## Fill a hole
#
# Make a row for an encoder. The tokens at `places` are hidden behind the mask. The label of a hidden place is its
# token. All other places have the label `-100` and do not count.


# %% tags=["hole"]
def hide(ids: list[int], places: list[int], mask: int) -> list[list[int]]:
    """[what the encoder reads, its labels]."""
    ### BEGIN SOLUTION
    read = [mask if at in places else one for at, one in enumerate(ids)]
    return [read, [one if at in places else -100 for at, one in enumerate(ids)]]
    ### END SOLUTION


# %% tags=["test"]
assert hide([7, 8], [0, 1], 99) == [[99, 99], [7, 8]], "hide: a hidden token becomes the mask, and is the label"
### BEGIN HIDDEN TESTS
assert hide([7, 8, 9], [1], 99) == [[7, 99, 9], [-100, 8, -100]], "hide: a place that is not hidden has the label -100"
assert hide([7, 7], [0], 99) == [[99, 7], [7, -100]], "hide: places are hidden, and not every token that looks the same"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.15/supervised", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.15/texts", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.15/writes", my_choice)

# %% [markdown]
# ## What this does not show
#
# Forty-eight dialogues say little about how good this head is: look at its interval. Training the encoder itself, and
# not only a head, is often better, and takes longer. A study does both: `luthier study dialogues:kind`. And there are
# ways to write with an encoder, step by step. They are another kind of model.
