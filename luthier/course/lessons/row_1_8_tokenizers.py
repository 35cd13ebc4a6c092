# %% [markdown]
# # 1.8 Tokenizers
#
# A model never sees letters or words. A tokenizer cuts a text into pieces and gives each piece a number. These pieces
# are the tokens. In this lesson you train three tokenizers, and look at what they do to other kinds of text.

# %% [markdown]
# ## Predict
#
# You train a tokenizer on English dialogues. Then it makes 25 tokens of an English sentence of 90 bytes. How many
# tokens does it make of the same sentence in German, which has 95 bytes? And in Chinese, which has 81 bytes?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, Tokens, bars, show

my_guess_german = None  # @param {type:"integer"}
my_guess_chinese = None  # @param {type:"integer"}
predict("1.8/tokens-german", my_guess_german)
predict("1.8/tokens-chinese", my_guess_chinese)

# %% [markdown]
# ## Run: three tokenizers
#
# BPE begins with single bytes. Again and again it joins the two neighbours that stand together most often. WordPiece
# grows in a similar way, but first it splits the text at blanks and marks. Unigram begins with many pieces and throws
# away those that help least. Each may keep 2,000 pieces here.

# %% tags=["dials"]
size = 2000  # @param {type:"slider", min:400, max:6000, step:200}
my_text = "The neighbours unlocked 12,345 birthday postcards."  # @param {type:"string"}

# %%
from itertools import pairwise
from pathlib import Path

import luthier
from luthier.scratch.token_table import SAMPLES, shown_piece
from luthier.scratch.vocabulary import vocabulary

task = luthier.load_task("dialogues")
dialogues = [example.input for example in task.train]
KINDS = ("bpe", "wordpiece", "unigram")


def trained(kind: str, size: int):
    """A tokenizer that is trained on the dialogues; one that was trained before is read again."""
    return vocabulary(kind, size, dialogues, Path("tokenizers")).tokenizer


for kind in KINDS:
    tokenizer = trained(kind, size)
    ids = tokenizer.encode(my_text).ids
    pieces = [shown_piece(tokenizer, token) for token in ids]
    print(f"{kind}: {len(my_text.split())} words, {len(ids)} tokens")
    show(Tokens(pieces, [(0.3, 0.9)[at % 2] for at in range(len(ids))], [f"id {token}" for token in ids]))

# %% [markdown]
# Common words are one token. Rare words fall into parts, and the parts are rarely those of a grammar. Now turn both
# dials. Type your own name, or a word of your trade. Then give the tokenizers more room.

# %% tags=["claim"]
# More pieces in the vocabulary make fewer tokens of dialogues that were not trained on. No size makes one of each word.
unseen = " ".join(example.input for example in task.dev)
small, large = (len(trained("bpe", pieces).encode(unseen).ids) for pieces in (400, 6000))
assert large < small
assert large > len(unseen.split())

# %% [markdown]
# ## What other texts cost
#
# Here are five texts of nearly the same number of bytes. The tokenizer has seen English dialogues alone.

# %%
bpe = trained("bpe", 2000)
cost = {name: len(bpe.encode(text).ids) for name, text in SAMPLES.items()}
show(bars("Tokens of each text", cost.items(), "tokens"))
rows = [(name, len(text.encode()), cost[name]) for name, text in SAMPLES.items()]
show(Table(("text", "bytes", "tokens"), rows))

# %% [markdown]
# English takes 25 tokens, and German more than twice as many. Each byte of the Chinese text is a token of its own.
# Numbers are hardly better. You pay for tokens, and the context window counts tokens. So the same words can cost one
# person three times what they cost another.

# %% tags=["claim"]
# English: 90 bytes, 25 tokens. German: 95 bytes. Chinese: 81 bytes and as many tokens. All others cost more.
assert (len(SAMPLES["English"].encode()), cost["English"]) == (90, 25)
assert len(SAMPLES["German"].encode()) == 95 and cost["German"] > 2 * cost["English"]
assert len(SAMPLES["Chinese"].encode()) == cost["Chinese"] == 81 > 3 * cost["English"]
assert cost["English"] < min(cost["code"], cost["numbers"])

# %% [markdown]
# ## White space
#
# The same dialogue is written in three ways: one line below the other, with an empty line between, and with blanks
# before each line. A reader sees no difference that matters. Does a tokenizer?

# %%
lines = task.dev[0].input.split("\n")
spellings = {"lines": "\n".join(lines), "empty lines": "\n\n".join(lines), "blanks": "\n  ".join(lines)}
ids_of = {kind: {name: trained(kind, 2000).encode(text).ids for name, text in spellings.items()} for kind in KINDS}
rows = [(kind, *[len(ids) for ids in named.values()]) for kind, named in ids_of.items()]
show(Table(("tokens", *spellings), rows))
print("BPE makes of 'no' and ' no':", bpe.encode("no").tokens, bpe.encode(" no").tokens)

# %% [markdown]
# WordPiece throws white space away, so all three are the same to it. It cannot give the text back either. BPE and
# Unigram keep every blank. For a model behind them these are three different prompts. Even a word is another token
# when a blank stands before it; here `Ġ` is the sign for that blank.

# %% tags=["claim"]
# WordPiece: three times the same ids, and the text is lost. BPE and Unigram: three different rows of ids, nothing lost.
for kind, named in ids_of.items():
    different = len({tuple(ids) for ids in named.values()})
    assert different == (1 if kind == "wordpiece" else 3)
    back = trained(kind, 2000).decode(named["lines"])
    assert (back == spellings["lines"]) == (kind != "wordpiece")
assert bpe.encode("no").ids != bpe.encode(" no").ids

# %% [markdown]
# ## Fill a hole
#
# Write the heart of BPE. You get words, each as a tuple of its pieces, with the number of times that it stands in the
# text. Find the pair of neighbours that stands together most often. Return its left piece, its right piece, and its
# count. Of equal counts take the pair that comes first in the order of Python.


# %% tags=["hole"]
def next_merge(words: dict[tuple[str, ...], int]) -> list:
    """[left, right, count] of the most frequent pair of neighbours."""
    ### BEGIN SOLUTION
    counts = {}
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] = counts.get(pair, 0) + times
    left, right = min(counts, key=lambda pair: (-counts[pair], pair))
    return [left, right, counts[left, right]]
    ### END SOLUTION


# %% tags=["test"]
assert next_merge({("t", "h", "e"): 3, ("h", "e"): 2}) == ["h", "e", 5], (
    "next_merge: count the pairs of neighbours in all words"
)
### BEGIN HIDDEN TESTS
assert next_merge({("a", "b"): 9, ("c", "d"): 1, ("c", "d", "e"): 1}) == ["a", "b", 9], (
    "next_merge: a word that stands nine times counts nine times"
)
assert next_merge({("n", "o"): 4, ("b", "y"): 4, ("s", "o"): 4}) == ["b", "y", 4], (
    "next_merge: of equal counts the pair that comes first in order is taken"
)
assert next_merge({("a", "n", "a", "n", "a"): 2, ("b", "n"): 3}) == ["a", "n", 4], (
    "next_merge: a pair may stand twice in one word"
)
### END HIDDEN TESTS

# %% [markdown]
# Now your function trains. It joins the best pair everywhere, and looks again. Beside it stands luthier's own BPE.

# %%
from collections import Counter

from luthier.scratch.bpe import BPE, words_of

words = Counter(tuple(word) for text in dialogues for word in words_of(text))
mine = []
for _ in range(6):
    left, right, count = next_merge(words)
    mine.append((left + right, count))
    joined = Counter()
    for word, times in words.items():
        pieces = list(word)
        for at in range(len(pieces) - 1, 0, -1):
            if pieces[at - 1 : at + 1] == [left, right]:
                pieces[at - 1 : at + 1] = [left + right]
        joined[tuple(pieces)] += times
    words = joined
theirs = BPE(dialogues, 256 + 6).tokens[256:]
show(Table(("new token", "stood together", "luthier's"), [(*one, other) for one, other in zip(mine, theirs)]))

# %% tags=["claim"]
# The hole's merges are those of luthier's BPE.
assert [token for token, _ in mine] == theirs

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.8/merge", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.8/words", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.8/blanks", my_choice)

# %% [markdown]
# ## What this does not show
#
# These tokenizers have seen little text. Those of large models have seen many languages, and so German or code costs
# less there. Yet English is often still the cheapest. Whether one kind of tokenizer leads to better answers is another
# question. It takes a model that is trained with each.
