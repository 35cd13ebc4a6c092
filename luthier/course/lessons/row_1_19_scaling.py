# %% [markdown]
# # 1.19 Scaling laws and compute-optimal models
#
# You have a fixed amount of compute. You can spend it on a large model that reads little, or on a small model that
# reads much. A scaling law says what is best. In this lesson you fit a law yourself, and see how sure it is.

# %% [markdown]
# ## Predict
#
# Chinchilla was trained with `5.76e23` floating-point operations. It has 70 billion parameters. Many people say that a
# model should read twenty tokens for each parameter. Several groups have published laws. What do these laws say for
# this much compute? Write the smallest and the largest number that you expect, in tokens for each parameter.

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Picture, Table, bars, show

my_guess_smallest = None  # @param {type:"number"}
my_guess_largest = None  # @param {type:"number"}
predict("1.19/smallest", my_guess_smallest)
predict("1.19/largest", my_guess_largest)

# %% [markdown]
# ## Run: four published laws
#
# Training takes about six operations for each parameter and token. So compute is six times parameters times tokens. A
# law says which loss a model reaches. Take all models that cost the same compute. The one with the lowest loss is the
# best. The last column says how many tokens it reads for each parameter.

# %%
from luthier.scratch.laws import Published

CHINCHILLA = 5.76e23


def tokens_a_parameter(law, flops: float) -> float:
    """How many tokens each parameter should read, by a law."""
    parameters, tokens = law.optimum(flops)
    return float(tokens / parameters)


rows = []
for law in Published.all():
    parameters, tokens = law.optimum(CHINCHILLA)
    counts = [f"{float(count) / 1e9:,.0f}" for count in (parameters, tokens)]
    rows.append((law.name, *counts, f"{tokens_a_parameter(law, CHINCHILLA):.3g}"))
show(Table(("law", "billion parameters", "billion tokens", "tokens a parameter"), rows))

# %% [markdown]
# The laws do not agree. Kaplan's law [Kaplan et al. 2020] asks for less than one token a parameter. Hoffmann's equation
# [Hoffmann et al. 2022] asks for more than 90. Besiroglu and others [Besiroglu et al. 2024] fitted the same kind of
# equation again. They used the same trainings, as far as these can be read from a figure. They get about 18.

# %% tags=["claim"]
# Kaplan: less than 1 token a parameter. Hoffmann's equation: more than 90. Besiroglu's: about 18.
assert tokens_a_parameter(Published.KAPLAN, CHINCHILLA) < 1
assert 90 < tokens_a_parameter(Published.HOFFMANN, CHINCHILLA) < 95
assert round(tokens_a_parameter(Published.BESIROGLU, CHINCHILLA)) == 18
# The model has 70 billion parameters. With 1.37e12 tokens that is its compute.
assert abs(6 * 70e9 * 1.37e12 / CHINCHILLA - 1) < 0.01

# %% [markdown]
# ## Your own table of trainings
#
# Now you measure a law yourself. Forty models are trained: eight sizes, and five amounts of text for each. You cannot
# train them here, so their losses are made. They follow Besiroglu's law, and chance moves each loss by half a percent.
# That is the beauty of a made table: we know the truth, and can see whether the fit finds it.

# %%
import numpy as np

from luthier.scratch import figures
from luthier.scratch.backtest import Predictor, Tested, run_weights
from luthier.scratch.isoflop import isoflop
from luthier.scratch.law_fit import fit, refit
from luthier.scratch.points import Points


def table(seed: int, noise: float = 0.005) -> Points:
    """Forty trainings whose losses follow a known law, moved by chance."""
    sizes, ratios = np.geomspace(5e7, 5e9, 8), np.array([3.0, 8, 20, 60, 150])
    n = np.repeat(sizes, len(ratios))
    d = n * np.tile(ratios, len(sizes))
    chance = np.random.default_rng(seed).normal(0, noise, len(n))
    losses = Published.BESIROGLU.loss(n, d) * np.exp(chance)
    return Points(n, d, losses, d, tuple(f"run {number}" for number in range(len(n))))


def without_highest(points: Points, count: int) -> Points:
    """The points without those of the highest losses."""
    order = np.argsort(points.losses_n)
    return points.where(np.isin(np.arange(len(points)), order[: len(points) - count]))


def fitted(points: Points, resamples: int = 60) -> Predictor:
    """A law of the points, and the laws of as many tables drawn from them again."""
    n, d, losses = points.parameters_n, points.tokens_n, points.losses_n
    best = fit(n, d, losses, rounds=1)
    again = refit(n, d, losses, run_weights(points, resamples, seed=0), best.theta_5[None])
    flops = points.flops_n
    tested = Tested(best.law, again, None, (float(flops.min()), float(flops.max())))
    return Predictor(points, best, (), tested)


# %% [markdown]
# ## Turn a dial
#
# Another seed is another laboratory that trains the same models. And a laboratory may leave out its worst trainings,
# those with the highest losses. Turn both dials.

# %% tags=["dials"]
seed = 2  # @param {type:"slider", min:0, max:20, step:1}
left_out = 5  # @param {type:"slider", min:0, max:10, step:1}

# %%
every = table(seed)
all_kept, some_kept = fitted(every), fitted(without_highest(every, left_out))
show(Picture(figures.optima(all_kept, isoflop(every)), "Best number of parameters by compute, with its interval."))
lines = []
for name, made in (("all forty", all_kept), (f"without the {left_out} highest", some_kept)):
    value, low, high = made.tested.optimum_interval(CHINCHILLA)["tokens_a_parameter"]
    lines.append((name, f"{value:.0f}", f"{low:.0f} to {high:.0f}"))
show(Table(("trainings", "tokens a parameter", "90 % interval"), lines))
show(bars("Tokens a parameter", [("the truth", tokens_a_parameter(Published.BESIROGLU, CHINCHILLA)),
                                 *[(name, float(value)) for name, value, _ in lines]]))  # fmt: skip

# %% [markdown]
# Look at the interval first. Its high end is more than 1.5 times its low end. Forty trainings do not fix the number,
# although each loss is only half a percent off. Near its lowest point a loss curve is flat. So a little noise in the
# losses moves the lowest point far.
#
# Then look at the line without the five highest losses. Whoever chooses the points chooses a part of the answer.

# %% tags=["claim"]
# Forty trainings, each half a percent off (0.005): the high end is more than 1.5 times the low end, all kept or not.
fixed_all, fixed_some = fitted(table(2)), fitted(without_highest(table(2), 5))
for made in (fixed_all, fixed_some):
    _, low, high = made.tested.optimum_interval(CHINCHILLA)["tokens_a_parameter"]
    assert high > 1.5 * low
# Leaving out five of this table moves the number by more than a third.
with_all, with_some = (tokens_a_parameter(made.minimum.law, CHINCHILLA) for made in (fixed_all, fixed_some))
assert max(with_all, with_some) > 1.33 * min(with_all, with_some)

# %% [markdown]
# ## How much does it cost to be wrong?
#
# If the curve is flat, then being off costs little. Here are three models of the same compute, with their loss by the
# true law. They read 10, 20 and 80 tokens for each parameter.


# %%
def loss_at(ratio: float, flops: float = CHINCHILLA) -> float:
    """The loss by Besiroglu's law when each parameter reads `ratio` tokens."""
    parameters = (flops / (6 * ratio)) ** 0.5
    return float(Published.BESIROGLU.loss(parameters, ratio * parameters))


show(Table(("tokens a parameter", "loss"), [(str(ratio), f"{loss_at(ratio):.4f}") for ratio in (10, 20, 80)]))

# %% [markdown]
# The three losses lie within one percent. So 20 is a fair rule of thumb, and no law of nature. A model that many people
# will use is often trained on far more text. It stays smaller, and every answer is cheaper.

# %% tags=["claim"]
# Models that read 10, 20 and 80 tokens a parameter lie within one percent (0.01) of each other.
assert max(map(loss_at, (10, 20, 80))) / min(map(loss_at, (10, 20, 80))) - 1 < 0.01

# %% [markdown]
# ## Fill a hole
#
# You know your compute, and how many tokens each parameter should read. How many parameters, and how many tokens?


# %% tags=["hole"]
def split(flops: float, ratio: float) -> list[float]:
    """[parameters, tokens] that use up the compute, with `ratio` tokens for each parameter."""
    ### BEGIN SOLUTION
    parameters = (flops / (6 * ratio)) ** 0.5
    return [parameters, ratio * parameters]
    ### END SOLUTION


# %% tags=["test"]
assert split(6e6, 1.0) == [1000.0, 1000.0], "split: six times parameters times tokens is the compute"
### BEGIN HIDDEN TESTS
assert split(6e6, 4.0) == [500.0, 2000.0], "split: tokens are ratio times parameters, so the ratio is under the root"
assert split(5.4e7, 9.0) == [1000.0, 9000.0], "split: tokens are ratio times parameters, so the ratio is under the root"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("1.19/size", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("1.19/grow", my_other_answer)

# %% tags=["question"]
my_third_answer = ""  # @param {type:"string"}
ask("1.19/range", my_third_answer)

# %% [markdown]
# ## What this does not show
#
# The table is made, and its noise is the same for all models. Real trainings also differ in data, in the way the
# learning rate falls, and in how well they were tuned. The command `luthier scale run` trains a small ladder of real
# models on your machine. A law speaks of the loss alone. It does not say what a model can do, nor what answers cost.
