# %% [markdown]
# # 1.4 Completion
#
# What a model writes behind a prompt is called a completion, or an answer. It ends in one of two ways. The model says
# that it is done, or a limit cuts it off. In this lesson you see both, and what the limit does not do.

# %% [markdown]
# ## Predict
#
# A model answers a question. Then you ask again and allow at most 12 new tokens. Will it write a shorter answer, with
# another beginning? Write `shorter` or `same`.

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, Tokens, show

asked_limit = 12
my_guess = ""  # @param {type:"string"}
predict("1.4/limit", my_guess)

# %% [markdown]
# ## Run: prompt and answer
#
# The light tokens are the prompt, and the dark ones the answer.

# %%
import luthier

model = luthier.load("smollm2-135m", precision="fp32")


def answer_to(question: str, limit: int) -> tuple[list[int], luthier.Answer]:
    """The prompt's ids and the answer to a question, with at most so many new tokens."""
    ids, _ = model.renderer.render([{"role": "user", "content": question}])
    events = luthier.generate(model, [luthier.Request("one", tuple(ids), limit)])
    return ids, luthier.fold(events, model.tokenizer)[0]


def paint_both(ids: list[int], answer: luthier.Answer) -> None:
    """Shows prompt and answer as tokens."""
    every = [*ids, *answer.tokens]
    pieces = [model.tokenizer.decode([token]) for token in every]
    show(Tokens(pieces, [0.15] * len(ids) + [0.9] * len(answer.tokens)))


question = "What is the capital of France?"
ids, whole = answer_to(question, 40)
paint_both(ids, whole)
print(f"{len(whole.tokens)} tokens; it stopped because of: {whole.stop}")

# %% [markdown]
# The last token of the answer is the end token. The model has learned to write it when an answer is done. A program
# sees it and stops. The reader never sees it.

# %% tags=["claim"]
# The answer ended by itself, with a token that ends answers. Its text does not show that token.
assert whole.stop == "end"
assert whole.tokens[-1] in model.end_ids
assert model.tokenizer.decode([whole.tokens[-1]]) not in whole.text

# %% [markdown]
# ## Turn a dial: the limit
#
# Now ask for more, and turn the limit on new tokens. Watch the beginning of the answer.

# %% tags=["dials"]
limit = 12  # @param {type:"slider", min:1, max:24, step:1}
my_question = "Write three sentences about the sea."  # @param {type:"string"}

# %%
_, short = answer_to(my_question, limit)
_, longer = answer_to(my_question, 24)
for answer in (short, longer):
    print(f"{len(answer.tokens)} tokens, stop: {answer.stop}: {answer.text!r}")

# %% [markdown]
# The shorter answer is the beginning of the longer one. The model does not know the limit. It does not hurry and it
# does not sum up. At 12 tokens it is cut in the middle of a sentence.

# %% tags=["claim"]
# With a limit of 12 the answer has 12 tokens, and they are the first 12 of the longer answer.
_, cut_short = answer_to("Write three sentences about the sea.", 12)
_, cut_later = answer_to("Write three sentences about the sea.", 24)
assert cut_short.stop == "length" and len(cut_short.tokens) == 12 == asked_limit
assert cut_later.tokens[:12] == cut_short.tokens
assert cut_short.text.rstrip()[-1] not in ".!?"

# %% [markdown]
# To get a short answer, ask for one. Then the length is the model's own choice, and the answer has an end.

# %%
_, brief = answer_to("Name one colour. Answer with one word.", 24)
print(f"{len(brief.tokens)} tokens, stop: {brief.stop}: {brief.text!r}")

# %% [markdown]
# ## Many answers
#
# Here the model summarizes three dialogues, with a limit of 24 tokens. From these answers you can see what any smaller
# limit would have done. For a smaller limit no new answers are needed.

# %%
from luthier.decoding.generate import answered, shorten

task = luthier.load_task("dialogues")
text = task.spec.prompt.templates["brief"]
chosen = sorted(task.dev, key=lambda one: len(one.input))[:3]
requests = [luthier.Request(one.id, model.renderer.prompt(one, text, room=24).prompt_ids, 24) for one in chosen]
answers = answered(model, requests)
rows = []
for most in (6, 12, 18, 24):
    made = [shorten(answer, most, model.tokenizer) for answer in answers]
    cut = sum(answer.stop == "length" for answer in made)
    rows.append((most, cut, sum(len(answer.tokens) for answer in made)))
show(Table(("limit", "answers cut", "tokens written"), rows))
for answer in answers:
    print(f"{answer.stop}: {answer.text!r}")

# %% tags=["claim"]
# A smaller limit never cuts fewer answers, and writes fewer tokens. At 6 tokens all three are cut; 24 is the most.
assert [cut for _, cut, _ in rows] == sorted((cut for _, cut, _ in rows), reverse=True)
assert [written for _, _, written in rows] == sorted(written for _, _, written in rows)
assert rows[0] == (6, len(answers), 18) and rows[-1][0] == 24

# %% [markdown]
# ## Fill a hole
#
# You know the lengths of answers that ended by themselves, the end token counted. Return the share that a limit would
# have cut. With no answers the share is 0.


# %% tags=["hole"]
def share_cut(lengths: list[int], limit: int) -> float:
    """The share of answers that do not end within the limit."""
    ### BEGIN SOLUTION
    if not lengths:
        return 0.0
    return sum(length > limit for length in lengths) / len(lengths)
    ### END SOLUTION


# %% tags=["test"]
assert share_cut([5, 20, 30, 40], 25) == 0.5, "share_cut: count the answers that are longer than the limit"
### BEGIN HIDDEN TESTS
assert share_cut([5, 20, 30, 40], 20) == 0.5, "share_cut: an answer of exactly the limit has its end token still"
assert share_cut([], 20) == 0.0, "share_cut: without answers nothing is cut"
### END HIDDEN TESTS

# %% tags=["claim"]
# A limit as long as the longest answer cuts none.
assert share_cut([5, 20, 30], 30) == 0.0

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.4/cut", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.4/written", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("1.4/concise", my_choice)

# %% [markdown]
# ## What this does not show
#
# You saw greedy answers, so the same beginning came back. With a temperature the seed has to be the same too. This
# lesson did not ask whether a short answer is a good one. A limit also changes scores: cut answers are compared with
# whole references. luthier's reports show how much.
