# %% [markdown]
# # 2.5 Quantization: 16, 8 and 4 bits
#
# A weight is a number, and a number takes bits. With fewer bits a model takes less memory, and each weight is a little
# wrong. In this lesson you round real weights by hand, weigh a model, and find where it breaks.

# %% [markdown]
# ## Predict
#
# A model of 135 million parameters takes 269 MB with 16 bits for each weight. Now its weights are stored with 4 bits.
# How many MB does it take?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Picture, Table, bars, show

my_guess = None  # @param {type:"number"}
predict("2.5/megabytes", my_guess)

# %% [markdown]
# ## Run: some weights, and the steps that they may stand on
#
# With b bits a weight becomes one of a few whole numbers, from -n to n. Here n is 2 to the power of b - 1, minus one.
# With four bits n is 7. A group of weights shares one scale: its largest weight becomes n or -n. Each other weight
# moves to the nearest step. Here are 64 weights of a real model.

# %%
import torch

import luthier

model = luthier.load("smollm2-135m", precision="fp32")
linear = {
    name: layer
    for name, layer in model.module.named_modules()
    if isinstance(layer, torch.nn.Linear) and name != "lm_head"
}
original = {name: layer.weight.data.clone() for name, layer in linear.items()}
some = original["model.layers.5.mlp.up_proj"][0, :64]


def on_steps(weights: torch.Tensor, bits: int, group: int) -> torch.Tensor:
    """The weights after each group was rounded to the steps of its largest one."""
    groups = weights.reshape(-1, group)
    step = (groups.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)).clamp(min=1e-12)
    return ((groups / step).round() * step).reshape(weights.shape)


def picture(weights: torch.Tensor, bits: int, group: int) -> Picture:
    """Each weight as a ring, where it moves as a dot, between a line for each step of the first group."""
    rounded, most = on_steps(weights, bits, group), float(weights.abs().max())
    n = 2 ** (bits - 1) - 1
    first = float(weights[:group].abs().max()) / n
    place = [110 - 100 * value / most for value in (number * first for number in range(-n, n + 1))]
    parts = [f'<line x1="0" x2="640" y1="{y:.1f}" y2="{y:.1f}" stroke="#bbb" stroke-width="0.6"/>' for y in place]
    for at, (before, after) in enumerate(zip(weights.tolist(), rounded.tolist())):
        x, y, to = 5 + 10 * at, 110 - 100 * before / most, 110 - 100 * after / most
        parts.append(f'<circle cx="{x}" cy="{y:.1f}" r="3" fill="none" stroke="#D55E00"/>')
        parts.append(f'<circle cx="{x}" cy="{to:.1f}" r="2" fill="#0072B2"/>')
    error = float((weights - rounded).abs().max())
    words = f"{len(weights)} weights with {bits} bits in groups of {group}: the largest error is {error:.4f}"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 220" style="max-width:100%">{"".join(parts)}</svg>'
    return Picture(svg, words)


show(picture(some, 4, 64))

# %% [markdown]
# ## Turn a dial
#
# Rings are the weights, dots are where they end. Turn the bits down and watch the dots leave their rings. Then make the
# groups smaller. A large weight makes the steps of its whole group large, so in a small group fewer weights suffer.

# %% tags=["dials"]
bits = 3  # @param {type:"slider", min:2, max:8, step:1}
group = "16"  # @param ["16", "32", "64"]

# %%
show(picture(some, bits, int(group)))


def typical_error(bits: int, group: int) -> float:
    """The mean distance that a weight moves, in percent of a typical weight."""
    weights = original["model.layers.5.mlp.up_proj"]
    return 100 * float((weights - on_steps(weights, bits, group)).abs().mean() / weights.abs().mean())


rows = [(f"{b} bits", *(f"{typical_error(b, size):.1f} %" for size in (576, 64, 32))) for b in (8, 6, 4, 3, 2)]
show(Table(("mean error", "groups of 576", "64", "32"), rows))

# %% tags=["claim"]
# With four bits n is 7. A weight moves by half a step at most, and each bit less makes the steps about twice as wide.
most = float(some.abs().max())
for b in (8, 4, 3):
    assert float((some - on_steps(some, b, 64)).abs().max()) <= most / (2 ** (b - 1) - 1) / 2 * 1.001
assert typical_error(8, 64) < typical_error(6, 64) < typical_error(4, 64) < typical_error(3, 64)
# Smaller groups err less.
assert typical_error(4, 32) < typical_error(4, 64) < typical_error(4, 576)

# %% [markdown]
# ## Where it breaks
#
# Now all linear layers of the model are rounded. Then the model reads reference summaries. The loss says how much each
# token surprises the model. Here is the loss with fewer and fewer bits.

# %%
from luthier.model.forward import collate, supervised_loss

task = luthier.load_task("dialogues")
short = sorted(task.dev, key=lambda example: len(example.input))[:4]
batch = collate([model.renderer.prompt(one, task.template(), train=True) for one in short], model.module, "decoder")


def loss_with(bits: int | None, group: int = 32) -> float:
    """Nats a token of the summaries, with all linear layers rounded; None leaves them as they are."""
    for name, layer in linear.items():
        layer.weight.data = original[name] if bits is None else on_steps(original[name], bits, group)
    with torch.no_grad():
        total, tokens = supervised_loss(model.module, batch)
    return float(total) / tokens


losses = {b: loss_with(b) for b in (None, 8, 4, 3, 2)}
show(bars("Nats a token", [("as they are" if b is None else f"{b} bits", loss) for b, loss in losses.items()]))

# %% [markdown]
# Eight bits change almost nothing. Four bits cost less than one nat a token. With two bits the model is worse than a
# dice with 49,152 sides, one for each token. Such a dice has a loss of 10.8 nats.

# %% tags=["claim"]
# 8 bits: less than 0.05 nats. 4 bits: less than 1 nat. 3 bits: more than 4 bits. 2 bits: more than a dice, 10.8 nats.
import math

assert abs(losses[8] - losses[None]) < 0.05
assert losses[8] < losses[4] < losses[None] + 1
assert losses[4] + 0.5 < losses[3] < losses[2]
assert model.module.config.vocab_size == 49_152
assert losses[2] > math.log(49_152) > 10.79 and round(math.log(49_152), 1) == 10.8

# %% [markdown]
# ## Weigh it
#
# Your guess was perhaps a quarter of 269 MB. But the scales take bits too: 16 for each group of 32 makes half a bit for
# each weight. And the embedding table is not rounded at all. In a small model it is large.

# %%
from luthier.planning.read import config_of, shape_from
from luthier.planning.weights import narrowed, weight_bytes


def megabytes(name: str) -> dict[str, float]:
    """MB of a model at each width."""
    shape = shape_from(config_of(name), 2)
    return {width: weight_bytes(shape, "bf16", width) / 1e6 for width in ("bf16", "int8", "int4", "nf4")}


small, large = megabytes("smollm2-135m"), megabytes("llama-3.1-8b")
show(bars("MB of SmolLM2-135M", small.items(), "MB"))
show(bars("MB of Llama-3.1-8B", large.items(), "MB"))
for name, model_of in (("the small model", small), ("the large one", large)):
    print(f"int4 takes {model_of['int4'] / model_of['bf16']:.0%} of {name}")

# %% [markdown]
# The small model falls from 269 MB to 116 MB. That is 43 %, and not 25 %. The large one falls to 38 %.

# %% tags=["claim"]
assert round(small["bf16"]) == 269
assert round(small["int4"]) == 116
assert round(100 * small["int4"] / small["bf16"]) == 43
assert round(100 * large["int4"] / large["bf16"]) == 38
# The linear layers alone: 4.5 bits of 16, which is 28 %. 25 % would be without scales.
shape = shape_from(config_of("smollm2-135m"), 2)
wide = 2 * (shape.parameters - sum(layer.weights for layer in narrowed(shape))) / 1e6
assert round((small["int4"] - wide) / (small["bf16"] - wide), 2) == 0.28

# %% [markdown]
# ## Is it faster?
#
# luthier's own int4 layer packs two weights into a byte. Let it do one product, and let a plain layer do the same. Then
# let the small model answer.

# %%
import time

from luthier.model.narrow import Int4Linear
from luthier.model.widths import quantize, weigh

plain = linear["model.layers.5.mlp.up_proj"]
plain.weight.data = original["model.layers.5.mlp.up_proj"]
narrow = Int4Linear(plain.in_features, plain.out_features).fill(plain.weight.data)
x = torch.ones(1, plain.in_features)


def milliseconds(layer: torch.nn.Module) -> float:
    """The time of one product, the middle of 21."""
    taken = []
    for _ in range(21):
        began = time.perf_counter()
        with torch.inference_mode():
            layer(x)
        taken.append(time.perf_counter() - began)
    return 1000 * sorted(taken)[10]


print(f"one product: plain {milliseconds(plain):.3f} ms, int4 {milliseconds(narrow):.3f} ms")


def answer() -> str:
    """The model's summary of a dialogue, at most twenty tokens."""
    prompt = model.renderer.prompt(short[0], task.template())
    request = luthier.Request("one", prompt.prompt_ids, 20, luthier.Generation())
    return next(iter(luthier.fold(luthier.generate(model, [request]), model.tokenizer))).text


loss_with(None)
print("16 bits or more:", answer())
quantize(model, "int4")
print("          4 bits:", answer())
held = weigh(model.module)
print(f"its linear layers hold {held.linear_bytes / 1e6:.1f} MB; with 16 bits {2 * held.linear_weights / 1e6:.1f} MB")

# %% [markdown]
# Look at the two times. The int4 layer must unpack its weights for each product. On most processors it is slower. Fewer
# bits save memory for sure. They save time only where the program computes with the narrow numbers.

# %% tags=["claim"]
# What the model really holds is what the plan said, to 1 %.
assert abs(held.linear_bytes / 1e6 / (small["int4"] - wide) - 1) < 0.01

# %% [markdown]
# ## And 16 bits?
#
# There are two kinds of 16 bits. fp16 has more digits. bf16 has the range of 32 bits, so a large number stays a number.
# See what each makes of a number near one, and of a large one.

# %%
for kind in (torch.float16, torch.bfloat16):
    print(kind, torch.tensor(1.001).to(kind).item(), torch.tensor(70_000.0).to(kind).item())

# %% tags=["claim"]
assert torch.tensor(70_000.0).half().isinf() and torch.tensor(70_000.0).bfloat16().isfinite()
assert torch.tensor(1.001).half().item() != 1.0 and torch.tensor(1.001).bfloat16().item() == 1.0

# %% [markdown]
# ## Fill a hole
#
# Write the rounding for one group, without torch. With b bits the whole numbers go from minus n to n, as above. Return
# the weights that the numbers stand for. A group of zeros stays zeros.


# %% tags=["hole"]
def round_group(weights: list[float], bits: int) -> list[float]:
    """The weights of one group after rounding to the steps of its largest one."""
    ### BEGIN SOLUTION
    most = max(abs(weight) for weight in weights)
    step = most / (2 ** (bits - 1) - 1)
    return [round(weight / step) * step if step else 0.0 for weight in weights]
    ### END SOLUTION


# %% tags=["test"]
assert [round(w, 4) for w in round_group([0.7, 0.32, -0.44], 4)] == [0.7, 0.3, -0.4], (
    "round_group: with 4 bits the steps are a seventh of the largest weight"
)
### BEGIN HIDDEN TESTS
assert [round(w, 4) for w in round_group([0.32, -0.7, 0.44], 4)] == [0.3, -0.7, 0.4], (
    "round_group: the largest weight may be a negative one"
)
assert [round(w, 4) for w in round_group([0.3, 0.19, -0.12], 3)] == [0.3, 0.2, -0.1], (
    "round_group: with 3 bits the steps are a third of the largest weight"
)
assert round_group([0.0, 0.0], 4) == [0.0, 0.0], "round_group: a group of zeros stays zeros"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("2.5/megabytes", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("2.5/error", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("2.5/faster", my_choice)

# %% [markdown]
# ## What this does not show
#
# The weights of this small model had been stored with four bits once before, so they are easy to round. Other models
# lose other amounts, and large ones often lose less. The loss of four dialogues is no verdict on a task: a study with
# arms at several widths gives that. Activations and the cache of keys and values take memory too, and stay wide here.
