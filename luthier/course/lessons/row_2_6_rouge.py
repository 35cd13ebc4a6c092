# %% [markdown]
# # 2.6 Evaluating the task: ROUGE and BLEU
#
# A model has written a summary. Beside it stands the reference: a summary that is known to be good. ROUGE and BLEU
# count the words that both share. In this lesson you count by hand, then let the library count, and find what these
# numbers cannot see.

# %% [markdown]
# ## Predict
#
# The reference is "the shop opens today". One answer says "the shop really opens today". Another says "the shop never
# opens today". Scores go from 0 to 1. Which ROUGE-L does each answer get?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, Tokens, bars, show

my_guess_really = None  # @param {type:"number"}
my_guess_never = None  # @param {type:"number"}
predict("2.6/rouge-really", my_guess_really)
predict("2.6/rouge-never", my_guess_never)
# Both scores lie between 0 and 1.

# %% [markdown]
# ## Run: three ways to share words
#
# ROUGE-1 counts single words that both texts have. ROUGE-2 counts pairs of neighbours. ROUGE-L takes the longest
# sequence of words that stands in both texts in the same order. Other words may stand between them.
#
# Precision is the shared part of the answer's words, and recall that of the reference's words. F1 is between both:
# twice their product, divided by their sum.

# %%
from luthier.scoring.rouge import rouge_values

reference = "the shop opens today"
METRICS = ("rouge1", "rouge2", "rougeL")


def scored(answer: str, references: tuple[str, ...] = (reference,)) -> dict[str, float]:
    """F1 of an answer by each of the three metrics."""
    return rouge_values(METRICS, answer, references, "mean")


answers = ("the shop really opens today", "the shop never opens today", "today opens the shop", "we sell bread")
rows = [(answer, *(f"{scored(answer)[name]:.3f}" for name in METRICS)) for answer in answers]
show(Table(("answer", *METRICS), rows))

# %% [markdown]
# "Really" and "never" score the same, 0.889. The first answer is true, and the second says the opposite. ROUGE counts
# words. It does not know what they mean.

# %% tags=["claim"]
# The two answers share 4 of 5 words with 4: precision 4/5, recall 4/4, F1 0.889 for both.
really, never = scored(answers[0]), scored(answers[1])
assert really == never
assert round(really["rougeL"], 3) == 0.889
assert abs(really["rougeL"] - 2 * (4 / 5) * (4 / 4) / (4 / 5 + 4 / 4)) < 1e-9

# %% [markdown]
# ## A slide that is wrong
#
# A well-known slide has such a pair: one word is put into the middle of the reference. The slide says that the longest
# common subsequence has a length of 2. It stops at the new word. Let us paint what is shared.

# %%


def shared_in_order(one: list[str], other: list[str]) -> list[int]:
    """Places in `one` of a longest common subsequence with `other`."""
    best = [[[] for _ in range(len(other) + 1)] for _ in range(len(one) + 1)]
    for i, word in enumerate(one):
        for j, second in enumerate(other):
            longer = max(best[i][j + 1], best[i + 1][j], key=len)
            best[i + 1][j + 1] = [*best[i][j], i] if word == second else longer
    return best[-1][-1]


def paint(answer: str, reference: str) -> None:
    """Shows an answer; the words that ROUGE-L counts are coloured."""
    words = answer.split()
    places = shared_in_order(words, reference.split())
    show(Tokens(words, [float(at in places) for at in range(len(words))]))
    print(f"shared in order: {' '.join(words[at] for at in places)}")


for answer in answers[:3]:
    paint(answer, reference)

# %% [markdown]
# The sequence has a length of 4. A subsequence may have gaps. With the slide's 2, precision is 2/5 and recall 2/4. F1
# would be 0.444, half of what it is.

# %% tags=["claim"]
# The longest common subsequence has 4 words. The slide's 2 would give F1 0.444: precision 2/5, recall 2/4.
assert len(shared_in_order(answers[0].split(), reference.split())) == 4
assert round(2 * (2 / 5) * (2 / 4) / (2 / 5 + 2 / 4), 3) == 0.444
assert abs(2 * (2 / 5) * (2 / 4) / (2 / 5 + 2 / 4) - really["rougeL"] / 2) < 1e-9
# In another order ROUGE-1 still counts all words, and ROUGE-L only those in order.
assert scored(answers[2])["rouge1"] == 1.0 and scored(answers[2])["rougeL"] == 0.5

# %% [markdown]
# ## Turn a dial: cheat
#
# Recall grows when you say more. Precision falls. Here is a dialogue, and an "answer" that only copies its first
# turns. Turn the number of turns, and the way in which two references make one score.

# %% tags=["dials"]
turns = 3  # @param {type:"slider", min:1, max:12, step:1}
references = "mean"  # @param ["mean", "max"]

# %%
import luthier

dialogues = luthier.load_task("dialogues").test


def copied(turns: int) -> list[luthier.Answer]:
    """The first turns of each dialogue as its summary."""
    return [luthier.Answer(one.id, "\n".join(one.input.split("\n")[:turns])) for one in dialogues]


def mean_score(turns: int, rule: str = "mean", words: str = "ascii", metric: str = "rouge1") -> float:
    """The mean score of the copied turns over all test dialogues, 0 to 100."""
    scores = luthier.score(copied(turns), dialogues, [metric], references=rule, reading=luthier.Reading(words=words))
    return 100 * sum(one.values[metric] for one in scores) / len(scores)


print(dialogues[0].input, "\n")
for one in dialogues[0].references:
    print("reference:", one)
print(f"\n{turns} copied turns, {references} of both references: ROUGE-1 {mean_score(turns, references):.1f}")
show(bars("ROUGE-1 of copied turns", [(f"{n} turns", mean_score(n, references)) for n in (1, 2, 3, 6, 12)]))

# %% [markdown]
# Copying needs no model and understands nothing. Yet it scores more than a quarter. So a score tells little alone. It
# tells something beside the score of such a baseline, on the same dialogues.

# %% [markdown]
# ## One name, several numbers
#
# "ROUGE-1" is not one number. The stemmer cuts endings first, so "opens" and "opened" count as one word. Two references
# may be averaged, or the better one may count. Here are the same answers, four times.

# %%
kinds = [(rule, words) for rule in ("mean", "max") for words in ("ascii", "unicode")]
told = {kind: mean_score(3, *kind) for kind in kinds}
title = {"ascii": "with stemmer", "unicode": "without stemmer"}
show(
    bars(
        "ROUGE-1 of three copied turns",
        [(f"{rule} of two, {title[words]}", told[rule, words]) for rule, words in kinds],
    )
)

# %% [markdown]
# No answer has changed. The stemmer alone moves the score by about one point, and the rule for two references by more
# than two. Never compare two ROUGE scores of two papers before you know how each was made.

# %% tags=["claim"]
# Three copied turns score more than 25 of 100. The stemmer adds 0.5 to 2 points, the better of two references adds more
# than 2.
assert told["mean", "ascii"] > 25
assert 0.5 < told["mean", "ascii"] - told["mean", "unicode"] < 2
assert told["max", "ascii"] - told["mean", "ascii"] > 2
# A copy of twelve turns is too long: it scores less than one of three.
assert mean_score(12) < mean_score(3)

# %% [markdown]
# ## BLEU
#
# BLEU comes from translation. It is a precision: of the answer's runs of one to four words, how many stand in a
# reference? It sums over all answers first, and takes the four shares' geometric mean. A short answer would have an
# easy precision. So there is a brevity penalty: where the answers are shorter than the references, BLEU is cut.

# %%
from luthier.scoring.bleu import corpus_counts
from luthier.scoring.score import corpus_value

counts = [corpus_counts("bleu", answer.text, one.references) for answer, one in zip(copied(3), dialogues)]
together = [sum(column) for column in zip(*(each for each, _ in counts))]
shares = [together[2 + n] / together[6 + n] for n in range(4)]
show(bars("Share of runs that stand in a reference", [(f"{n + 1} words", share) for n, share in enumerate(shares)]))
of_all = corpus_value("bleu", together)
mean_of_each = sum(value for _, value in counts) / len(counts)
print(f"BLEU of all answers together {100 * of_all:.1f}; the mean of each answer's own value {100 * mean_of_each:.1f}")

# %% tags=["claim"]
# BLEU of all is not the mean of BLEU of each. Longer runs are rarer.
assert abs(of_all - mean_of_each) > 0.002
assert shares == sorted(shares, reverse=True)
brevity = min(1.0, 2.718281828459045 ** (1 - together[1] / together[0]))
by_hand = brevity * (shares[0] * shares[1] * shares[2] * shares[3]) ** 0.25
assert abs(by_hand - of_all) < 1e-6

# %% [markdown]
# ## Fill a hole
#
# Write ROUGE-L. Words are what `split` gives, in small letters. No stemmer is needed. An answer that shares nothing
# scores zero.


# %% tags=["hole"]
def rouge_l(reference: str, answer: str) -> float:
    """F1 of the longest common subsequence of two texts' words."""
    ### BEGIN SOLUTION
    one, other = reference.lower().split(), answer.lower().split()
    row = [0] * (len(other) + 1)
    for word in one:
        above = row[:]
        for j, second in enumerate(other):
            row[j + 1] = above[j] + 1 if word == second else max(row[j], above[j + 1])
    if row[-1] == 0:
        return 0.0
    precision, recall = row[-1] / len(other), row[-1] / len(one)
    return 2 * precision * recall / (precision + recall)
    ### END SOLUTION


# %% tags=["test"]
assert abs(rouge_l("a b c d", "a b c x x x") - 0.6) < 1e-9, "rouge_l: precision is 3/6, recall 3/4; return their F1"
assert rouge_l("a b c", "c") == 0.5, "rouge_l: one word is shared, of one and of three"
### BEGIN HIDDEN TESTS
assert abs(rouge_l("a b c d", "a b x c d") - 8 / 9) < 1e-9, (
    "rouge_l: a subsequence may have gaps; it has four words here"
)
assert rouge_l("a b c d", "d c b a") == 0.25, "rouge_l: only words in the same order count, here one"
assert rouge_l("a b", "x y") == 0.0, "rouge_l: nothing shared scores zero"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question
#
# The texts and numbers are yours alone. Count by hand.

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.6/rouge-1", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.6/rouge-l", my_other_answer)

# %% tags=["question"]
my_bleu = ""  # @param {type:"string"}
ask("2.6/bleu", my_bleu)

# %% [markdown]
# ## What this does not show
#
# A low score is no proof of a bad summary. The two references of a dialogue share few words with each other, and both
# are good. A high score is no proof of truth, as "never" shows. Facts that an answer invents need another check, and so
# does the taste of readers. Whether a difference of two scores is more than chance is a question of its own.
