# %% [markdown]
# # Lab 2.1a Kernel and dependencies
#
# A cell runs in some Python, with some versions of some packages. If these are not the ones you think, nothing below
# means what it says. Here a cell proves what it runs in. Then you read a LoRA configuration and know what it
# trains, before a weight is loaded.

# %% [markdown]
# ## Predict
#
# You type `pip install peft` in a terminal. Does the notebook that is open see it? Answer yes, no or perhaps.

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess = ""  # @param ["", "yes", "no", "perhaps"]
predict("lab2.1a/pip", my_guess)

# %% [markdown]
# Perhaps: it does if the terminal's `pip` belongs to the Python of the notebook. Nobody knows this without looking.

# %% [markdown]
# ## Run: which Python, which versions

# %%
import sys
from importlib import metadata, util
from pathlib import Path

from luthier.machine import versions

print("this cell runs in", Path(sys.executable).name, "of", Path(sys.prefix).name or sys.prefix)
own = versions()
show(Table(("package", "version"), list(own.items())))
place = Path(util.find_spec("peft").origin)
print("peft comes from a folder of this Python:", "site-packages" in place.parts or "dist-packages" in place.parts)

# %% [markdown]
# `sys.executable` is the interpreter that runs the cell. To install into it and no other, write
# `%pip install peft` in a cell.

# %% tags=["claim"]
# The table tells the truth: torch and peft are the ones that are installed here, and Python is this one.
assert own["peft"] == metadata.version("peft") and own["torch"] == metadata.version("torch")
assert own["python"].split(".")[:2] == [str(sys.version_info.major), str(sys.version_info.minor)]

# %% [markdown]
# ## Comparing versions
#
# Versions are not decimal numbers, and not texts. Which is newer, `0.9` or `0.18`?

# %%
from packaging.version import Version

show(Table(("compared as", "0.18 is newer than 0.9"), [
    ("a number", 0.18 > 0.9), ("a text", "0.18" > "0.9"), ("a version", Version("0.18") > Version("0.9")),
]))  # fmt: skip

# %% tags=["claim"]
assert Version("0.18") > Version("0.9") and not "0.18" > "0.9" and not 0.18 > 0.9

# %% [markdown]
# ## The model's hash
#
# A name of a model says little. Its files decide what it answers. A hash is a short text that changes when a single
# byte changes. Two people whose hashes are equal have the same weights.

# %%
from luthier.hashes import sha256_of_files
from luthier.model.sources import resolve

folder = resolve("smollm2-135m")
config = folder / "config.json"
print("config.json:", sha256_of_files(config)[:16])

# %% [markdown]
# ## Turn a dial: a LoRA configuration
#
# A configuration is a few numbers. The planner reads the model's shape from its `config.json` and counts.

# %% tags=["dials"]
rank = 16  # @param {type:"slider", min:1, max:64, step:1}
targets = "all-linear"  # @param ["all-linear", "q_proj,v_proj", "down_proj"]

# %%
from luthier.adapt.settings import Lora
from luthier.planning.moving import moving
from luthier.planning.read import shape_of

shape = shape_of("smollm2-135m")


def share(rank: int, targets: str) -> float:
    """Percent of the parameters that LoRA trains."""
    added = moving(shape, "lora", Lora(rank=rank, targets=targets)).additions
    return 100 * sum(one.trainable for one in added) / shape.parameters


print(f"rank {rank}, {targets}: {share(rank, targets):.2f} % of {shape.parameters:,} parameters train")
by_rank = [(f"rank {one}", share(one, "all-linear")) for one in (4, 8, 16, 32)]
show(bars("Percent that trains, all linear layers", by_rank, "%"))

# %% tags=["claim"]
# The share grows evenly with the rank: rank 32 trains eight times what rank 4 trains.
assert abs(share(32, "all-linear") - 8 * share(4, "all-linear")) < 1e-9
assert share(16, "q_proj,v_proj") < share(16, "all-linear")

# %% [markdown]
# ## Fill a hole
#
# Write the check that stands at the top of a notebook. `wanted` maps a package to the least version, `found` to the one
# that is there. Return the packages that are missing or too old, in the order of `wanted`. A version is numbers with
# points between them, and a missing part counts as zero.


# %% tags=["hole"]
def too_old(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """The packages that are missing, or older than wanted."""

    ### BEGIN SOLUTION
    def parts(version: str) -> list[int]:
        numbers = [int(part) for part in version.split(".")]
        return numbers + [0] * (4 - len(numbers))

    return [name for name in wanted if name not in found or parts(found[name]) < parts(wanted[name])]
    ### END SOLUTION


# %% tags=["test"]
assert too_old({"peft": "0.5", "torch": "2.4"}, {"peft": "0.7", "torch": "2.3"}) == ["torch"], (
    "too_old: name the packages that are older than wanted"
)
### BEGIN HIDDEN TESTS
assert too_old({"peft": "0.9"}, {"peft": "0.18"}) == [], "too_old: 0.18 is newer than 0.9; compare part by part"
assert too_old({"peft": "0.9"}, {}) == ["peft"], "too_old: a package that is missing is named as well"
assert too_old({"peft": "0.9.0"}, {"peft": "0.9"}) == [], "too_old: 0.9 and 0.9.0 are the same version"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab2.1a/share", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab2.1a/newest", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab2.1a/which", my_choice)

# %% [markdown]
# ## What this does not show
#
# Equal versions do not make equal numbers everywhere. Processors and GPUs add in different order, so the last digits
# may differ. A study of luthier writes all versions, the machine and the hashes beside its results.
