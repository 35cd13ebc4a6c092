# %% [markdown]
# # 1.17 Encoder-decoder models
#
# An encoder-decoder reads one text and writes another one. T5 is the best-known model of this kind. It learns from text
# alone, by a task that is called span corruption. In this lesson you corrupt your own sentence, and train a tiny model
# on this task.

# %% [markdown]
# ## Predict
#
# A text has 20 tokens. T5 hides 15 percent of them, in spans of three tokens on average. Each span becomes one mark,
# which is called a sentinel. Both texts end with an end token. How many tokens does the encoder read? How many does the
# decoder write?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, Tokens, bars, show

my_guess_read = None  # @param {type:"integer"}
my_guess_written = None  # @param {type:"integer"}
predict("1.17/read", my_guess_read)
predict("1.17/written", my_guess_written)

# %% [markdown]
# ## Turn a dial: your own sentence
#
# Write a sentence, and choose a seed. The seed says which words are hidden. Here a token is a word.

# %% tags=["dials"]
sentence = "My aunt bought a small boat and wants to sail around the whole island"  # @param {type:"string"}
seed = 1  # @param {type:"slider", min:0, max:30, step:1}

# %%
import random

from luthier.scratch.objectives import Row, Vocabulary, corrupted, span_lengths


def span_corrupted(words: list[str], seed: int) -> tuple[list[str], list[str]]:
    """What the encoder reads and what the decoder has to write, by T5's rule."""
    ids = Vocabulary(size=len(words) + 1, end=len(words))
    row = corrupted(range(len(words)), ids, random.Random(seed))
    names = dict(enumerate([*words, "</s>"]))
    names |= {ids.sentinel(number): f"<extra_id_{number}>" for number in range(len(words))}
    return [names[one] for one in row.source], [names[one] for one in row.targets]


read, written = span_corrupted(sentence.split(), seed)
show(Tokens(read, [float(word.startswith("<extra")) for word in read]))
show(Tokens(written, [float(word.startswith("<extra")) for word in written]))

# %% [markdown]
# The first line is what the encoder reads. The second one is what the decoder writes. A sentinel stands for all words
# of a span, however many they are. The decoder says the sentinel first, and then the hidden words. What was not hidden
# is not written again.

# %%
hidden, spans, source_length, target_length = span_lengths(20)
print(f"20 tokens: {hidden} hidden in {spans} span; {source_length} are read and {target_length} written")
hidden, spans, source_length, target_length = span_lengths(512)
print(f"512 tokens: {hidden} hidden in {spans} spans; {source_length} are read and {target_length} written")

# %% [markdown]
# Of 20 tokens three are hidden. The encoder reads 19, and the decoder writes 5. So the decoder writes little, and each
# step of training is cheap. An encoder that learns from hidden words has a mark for each of them. It is told how many
# words are missing. T5 is not.

# %% tags=["claim"]
# Of 20 tokens the encoder reads 19 and the decoder writes 5, for 15 percent (0.15) in spans of 3.
assert span_lengths(20, share=0.15, span=3.0)[2:] == (19, 5)
words = [str(number) for number in range(20)]
for one in range(20):
    some_read, some_written = span_corrupted(words, one)
    assert (len(some_read), len(some_written)) == (19, 5)
    # Every word stands in one of the two texts, and in one alone.
    assert sorted(word for word in some_read + some_written if not word.startswith("<")) == sorted(words)

# %% [markdown]
# ## Run: a model learns it
#
# The texts are counts, such as `3 5 7 9`. Each has twelve numbers, and counting goes round at ten. So whoever sees the
# rest knows what is hidden. In each half one to three numbers are hidden.

# %%
import torch

from luthier.scratch.drawn import share_right, train_drawn
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

TEN, END = 10, 10
SENTINELS = (12, 13)


def with_spans(ids: list[int], spans: list[tuple[int, int]]) -> Row:
    """A row of the task: each span (first place, length) becomes one sentinel."""
    source, target, at = [], [], 0
    for sentinel, (start, length) in zip(SENTINELS, spans):
        source += [*ids[at:start], sentinel]
        target += [sentinel, *ids[start : start + length]]
        at = start + length
    source, target = [*source, *ids[at:], END], [*target, END]
    return Row((END, *target[:-1]), (0,) * len(target), tuple(target), source=tuple(source))


def draw(dice: random.Random) -> Row:
    """A count by one, two or three, with a hidden span in each half."""
    start, step = dice.randrange(TEN), dice.choice((1, 2, 3))
    ids = [(start + place * step) % TEN for place in range(12)]
    return with_spans(ids, [(dice.randrange(2, 4), dice.randint(1, 3)), (8, dice.randint(1, 3))])


torch.manual_seed(0)
model = Transformer(
    Shape(vocabulary=16, family="encoder-decoder", width=32, layers=2, heads=4, window=24, positions="learned")
)
losses = train_drawn(model, draw, steps=400, rows=32)
right = share_right(model, draw)
show(bars("Loss by step", [(f"step {at}", losses[at]) for at in range(0, 400, 50)], "nats"))
print(f"right tokens on new counts: {right:.2f}")

# %% [markdown]
# Now take one count, hide one, two or three numbers behind the same sentinel, and let the model write.

# %%


@torch.no_grad()
def filled(ids: list[int], spans: list[tuple[int, int]], most: int = 10) -> list[int]:
    """What the model writes for a row, token by token, each the likeliest."""
    source = torch.tensor([with_spans(ids, spans).source])
    said = [END]
    while len(said) <= most and (len(said) == 1 or said[-1] != END):
        said.append(int(model.eval()(torch.tensor([said]), source_BS=source)[0, -1].argmax()))
    return said[1:]


def shown(ids: list[int]) -> str:
    return " ".join(
        {END: "</s>", SENTINELS[0]: "<extra_id_0>", SENTINELS[1]: "<extra_id_1>"}.get(one, str(one)) for one in ids
    )


count = [(3 + 2 * place) % TEN for place in range(12)]
rows, as_wanted = [], []
for length in (1, 2, 3):
    row = with_spans(count, [(3, length), (8, 1)])
    said = filled(count, [(3, length), (8, 1)])
    as_wanted.append(tuple(said) == row.targets)
    rows.append((f"{length} hidden", shown(list(row.targets)), shown(said)))
show(Table(("the first span has", "to be written", "written"), rows))

# %% [markdown]
# The sentinel looks the same each time. The model still writes the right number of words. It found out how many are
# missing. In its task that is a part of the answer.

# %% tags=["claim"]
# More than 0.9 of the tokens on new counts are right, the next sentinel among them.
assert right > 0.9
# Of three holes of different lengths, at least two are filled exactly.
assert sum(as_wanted) >= 2

# %% [markdown]
# ## Fill a hole
#
# Write span corruption yourself. `spans` holds the first word and the number of words of each hidden span, in order.
# Return two texts: what the encoder reads and what the decoder writes. Both end with `</s>`.


# %% tags=["hole"]
def corrupt(words: list[str], spans: list[tuple[int, int]]) -> list[str]:
    """[source, target] by T5's rule, words and sentinels joined by blanks."""
    ### BEGIN SOLUTION
    source, target, at = [], [], 0
    for number, (start, length) in enumerate(spans):
        sentinel = f"<extra_id_{number}>"
        source += [*words[at:start], sentinel]
        target += [sentinel, *words[start : start + length]]
        at = start + length
    return [" ".join([*source, *words[at:], "</s>"]), " ".join([*target, "</s>"])]
    ### END SOLUTION


# %% tags=["test"]
assert corrupt(["we", "sail", "home"], [(1, 1)]) == ["we <extra_id_0> home </s>", "<extra_id_0> sail </s>"], (
    "corrupt: the sentinel stands for the hidden word, and before it in the target"
)
### BEGIN HIDDEN TESTS
assert corrupt(["we", "sail", "home", "now"], [(1, 2)]) == [
    "we <extra_id_0> now </s>",
    "<extra_id_0> sail home </s>",
], "corrupt: one sentinel stands for the whole span, however long it is"
assert corrupt(["we", "sail", "home", "now"], [(0, 1), (2, 1)])[1] == "<extra_id_0> we <extra_id_1> home </s>", (
    "corrupt: each span has a sentinel of its own"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.17/target", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.17/written", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.17/sentinel", my_choice)

# %% [markdown]
# ## What this does not show
#
# Counts can be filled without a doubt, and sentences cannot. T5 was later trained on many tasks with instructions, such
# as translation and summaries. That is a step of its own. And there are other ways to corrupt a text: BART also moves
# sentences, and writes the whole text again.
