# %% [markdown]
# # 1.10 Generating text with transformers
#
# A model writes one token at a time. It gives each possible token a probability, one is taken, and the model reads it
# too. Then it all begins again. In this lesson you choose the tokens yourself, against greedy decoding.

# %% [markdown]
# ## Predict
#
# Greedy decoding always takes the likeliest token. It takes three tokens. Is there another text of three tokens that
# the model itself thinks more likely? Write how many times as likely it is, or 1 if you think there is none.

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Picture, Table, bars, show

my_guess = None  # @param {type:"number"}
predict("1.10/times", my_guess)

# %% [markdown]
# ## Run: one step
#
# The model has read `She works as a`. Here are the likeliest next tokens.

# %%
import math
from collections.abc import Sequence

import luthier

model = luthier.load("smollm2-135m")
text = "She works as a"
begin = tuple(model.tokenizer(text)["input_ids"])


def next_tokens(written: Sequence[tuple[int, ...]], top: int = 4) -> list[list[tuple[int, float]]]:
    """For each row of written tokens the likeliest next tokens, each with its probability."""
    requests = [luthier.Request(str(at), begin + ids, 1, top=top) for at, ids in enumerate(written)]
    events = {event.id: event for event in luthier.generate(model, requests)}
    return [[(one.token, one.before) for one in events[str(at)].candidates] for at in range(len(written))]


def words(ids: Sequence[int]) -> str:
    """Tokens as text."""
    return model.tokenizer.decode(list(ids))


first = next_tokens([()], top=8)[0]
show(bars("Probability of the next token", [(repr(words([token])), share) for token, share in first]))

# %% [markdown]
# ## Turn a dial: choose yourself
#
# Say which of the offered tokens you take in each step. A 1 is the likeliest one, a 2 the second, and so on. Three
# times a 1 is greedy. Find a text that is likelier than greedy's.

# %% tags=["dials"]
step_one = 1  # @param {type:"slider", min:1, max:8, step:1}
step_two = 1  # @param {type:"slider", min:1, max:8, step:1}
step_three = 1  # @param {type:"slider", min:1, max:8, step:1}


# %%
def path(choices: Sequence[int]) -> tuple[tuple[int, ...], list[float]]:
    """The tokens of these choices, and the probability of each behind those before it."""
    ids: tuple[int, ...] = ()
    shares = []
    for choice in choices:
        token, share = next_tokens([ids], top=8)[0][choice - 1]
        ids, shares = (*ids, token), [*shares, share]
    return ids, shares


def lines(ids: Sequence[int], shares: Sequence[float]) -> Table:
    """Each step of a path, and the path so far."""
    rows, so_far = [], 1.0
    for token, share in zip(ids, shares):
        so_far *= share
        rows.append((repr(words([token])), f"{share:.3f}", f"{math.log(share):.2f}", f"{so_far:.4f}"))
    return Table(("token", "probability", "its logarithm", "the path so far"), rows)


my_ids, my_shares = path((step_one, step_two, step_three))
greedy_ids, greedy_shares = path((1, 1, 1))
print("yours:", text + words(my_ids))
show(lines(my_ids, my_shares))
print("greedy:", text + words(greedy_ids))
show(lines(greedy_ids, greedy_shares))

# %% [markdown]
# The probability of a text is the product of its steps. Products of many small numbers get too small for a computer. So
# programs add logarithms instead. The sum is called the log-probability.

# %% tags=["claim"]
# The product of the steps, and e to the sum of their logarithms, are the same number.
product, total = math.prod(greedy_shares), sum(map(math.log, greedy_shares))
assert math.isclose(product, math.exp(total))
# luthier's generator, asked for three tokens, takes these tokens and reports this sum.
request = luthier.Request("greedy", begin, 3)
answer = luthier.fold(luthier.generate(model, [request]), model.tokenizer)[0]
assert answer.tokens == greedy_ids
assert math.isclose(answer.logprob, total, abs_tol=0.1)

# %% [markdown]
# ## The tree
#
# Now we look at many paths: the four likeliest tokens, four behind each of these, and four behind each of those.

# %%
leaves: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
for _ in range(3):
    offered = next_tokens([ids for ids, _ in leaves])
    leaves = [
        ((*ids, token), so_far * share) for (ids, so_far), tokens in zip(leaves, offered) for token, share in tokens
    ]
leaves.sort(key=lambda leaf: -leaf[1])
show(bars("The likeliest texts of three tokens", [(repr(words(ids)), share) for ids, share in leaves[:6]]))
best_ids, best = leaves[0]
print(f"{len(leaves)} texts; the likeliest is {words(best_ids)!r}, {best / product:.1f} times as likely as greedy's")


def drawn(ids: Sequence[int], color: str, top: int) -> str:
    """One path as boxes; a box is as wide as its token's probability."""
    parts, at = [], 0
    shares = path_shares(ids)
    for token, share in zip(ids, shares):
        parts.append(
            f'<rect x="{at}" y="{top}" width="{110 * share + 2:.1f}" height="18" fill="{color}"/>'
            f'<text x="{at}" y="{top + 34}" font-size="13">{words([token]).strip() or "_"} {share:.2f}</text>'
        )
        at += 118
    return "".join(parts)


def path_shares(ids: Sequence[int]) -> list[float]:
    """The probability of each token of a path behind those before it."""
    offered = next_tokens([tuple(ids[:at]) for at in range(len(ids))], top=16)
    return [dict(tokens)[token] for token, tokens in zip(ids, offered)]


svg = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 100" width="360" '
    f'fill="currentColor">{drawn(best_ids, "#0072B2", 4)}{drawn(greedy_ids, "#D55E00", 54)}</svg>'
)
show(Picture(svg, f"Step by step: {words(best_ids)!r} above, greedy's {words(greedy_ids)!r} below."))

# %% [markdown]
# Greedy takes the better first step. It cannot know what comes behind it. Behind the other first token the next steps
# are nearly certain, and so the whole text is likelier.

# %% tags=["claim"]
# The likeliest text begins with another token than greedy's, and is more than 1.5 times as likely.
assert best > 1.5 * product
assert best_ids[0] != greedy_ids[0]
assert first[0][0] == greedy_ids[0]

# %% [markdown]
# ## Fill a hole
#
# Beam search keeps several texts at once. In each step it continues all of them and keeps the best. A tree is given as
# a dict: for each text the possible next tokens with their probabilities. A text without an entry is finished. At the
# end return the best text and its probability.


# %% tags=["hole"]
def beam(tree: dict[str, dict[str, float]], width: int, steps: int) -> list:
    """[text, probability] of the best one, when `width` texts are kept in each step; the first text is ''."""
    ### BEGIN SOLUTION
    kept = [("", 1.0)]
    for _ in range(steps):
        longer = [
            (text + token, so_far * share)
            for text, so_far in kept
            for token, share in tree.get(text, {"": 1.0}).items()
        ]
        kept = sorted(longer, key=lambda one: -one[1])[:width]
    return list(kept[0])
    ### END SOLUTION


# %% tags=["test"]
small_tree = {"": {"a": 0.6, "b": 0.4}, "a": {"c": 0.55, "d": 0.45}, "b": {"e": 0.9, "f": 0.1}}
assert beam(small_tree, 1, 1) == ["a", 0.6], "beam: with a width of one the likeliest token is taken"
assert beam(small_tree, 2, 2) == ["be", 0.4 * 0.9], "beam: compare whole texts, by the product of their steps"
### BEGIN HIDDEN TESTS
assert beam(small_tree, 1, 2) == ["ac", 0.6 * 0.55], "beam: what was not kept cannot come back"
uneven = {"": {"a": 0.5, "b": 0.3, "c": 0.2}, "a": {"x": 0.4, "y": 0.3, "z": 0.3}, "c": {"w": 1.0}}
assert beam(uneven, 3, 2) == ["b", 0.3], "beam: a finished text stays with the probability that it has"
### END HIDDEN TESTS

# %% tags=["claim"]
# Here greedy, a beam of one, misses the likeliest text: 0.33 against 0.36.
tree = {"": {"a": 0.6, "b": 0.4}, "a": {"c": 0.55, "d": 0.45}, "b": {"e": 0.9, "f": 0.1}}
assert math.isclose(beam(tree, 1, 2)[1], 0.33)
assert math.isclose(beam(tree, 2, 2)[1], 0.36)

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.10/path", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.10/likeliest", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.10/goal", my_choice)

# %% [markdown]
# ## What this does not show
#
# The likeliest text is not the best one. Likely texts are often short or repeat themselves, and people find them dull.
# That is one reason why chat models draw their tokens. Lesson 1.13 turns the dials of that draw.
