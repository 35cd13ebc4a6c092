# %% [markdown]
# # Lab 1.1 Kernel and dependencies
#
# A notebook is a page in a browser. Its cells run elsewhere: in a Python process that is called the kernel. Here you
# find out which Python that is, and prove that it has what the next steps need.

# %% [markdown]
# ## Predict
#
# Which Python runs this cell? Write the beginning of its path. And if you type `pip install` in a terminal now, does
# the package land where this cell can import it, `"yes"`, `"no"` or `"it depends"`?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, bars, show

my_guess_path = ""  # @param {type:"string"}
my_guess_lands_here = ""  # @param ["", "yes", "no", "it depends"]
predict("lab1.1/path", my_guess_path)
predict("lab1.1/lands-here", my_guess_lands_here)

# %% [markdown]
# ## Run: who am I?
#
# Python itself knows which program it is, and where its packages lie. Ask it, and believe nothing else.

# %%
import sys
from importlib import metadata
from pathlib import Path

import luthier

facts = [
    ("Python", sys.version.split()[0]),
    ("program", sys.executable),
    ("environment", sys.prefix),
    ("luthier comes from", str(Path(luthier.__file__).parent)),
    *((name, metadata.version(name)) for name in ("torch", "transformers", "numpy")),
]
show(Table(("what", "here"), facts))

# %% tags=["claim"]
# What this cell imports belongs to this program. The versions are enough for the labs.
assert Path(sys.executable).exists()
assert int(metadata.version("torch").split(".")[0]) >= 2
assert sys.version_info >= (3, 11)

# %% [markdown]
# ## Another Python on the same machine
#
# Now make a second, empty environment. It stands for the Python of a terminal. Ask both whether they have a package.

# %% tags=["dials"]
package = "numpy"  # @param {type:"string"}

# %%
import importlib.util
import os
import subprocess
import venv

place = Path("second").resolve()
venv.create(place, with_pip=False)
second = place / ("Scripts" if os.name == "nt" else "bin") / "python"


def asked(python: str | Path, question: str) -> str:
    """What a Python answers; it reads only its own environment."""
    return subprocess.run(
        [str(python), "-I", "-c", question], capture_output=True, text=True, check=True
    ).stdout.strip()


def has(python: str | Path, name: str) -> bool:
    """Whether a Python can import a package."""
    return asked(python, f"import importlib.util; print(importlib.util.find_spec({name!r}) is not None)") == "True"


here = importlib.util.find_spec(package) is not None  # this Python need not be started: it runs the cell
second_prefix = asked(second, "import sys; print(sys.prefix)")
rows = [
    ("this kernel", sys.prefix, "yes" if here else "no"),
    ("the second one", second_prefix, "yes" if has(second, package) else "no"),
]
show(Table(("Python", "its environment", f"has {package}"), rows))

# %% [markdown]
# Two programs, two environments. A package in one is not in the other. `pip` is a program as well. It installs into the
# environment that it belongs to. In a cell, `%pip install` takes the pip of the kernel. In a terminal you get the first
# one on the path. To be sure, call it through the Python that you mean: `python -m pip`. To be sure of the kernel, type
# `luthier kernel`. It makes a kernel of the environment in which luthier is installed. Notebooks then offer it by name.

# %% tags=["claim"]
# This kernel has numpy, and an empty environment has not.
assert importlib.util.find_spec("numpy") is not None and not has(second, "numpy")
assert second_prefix != sys.prefix

# %% [markdown]
# ## Run: is it the right model?
#
# The labs use a small model, SmolLM2-135M. It comes as one file in a package. A hash of its bytes says whether the file
# is whole and the right one. Change one bit, and the hash is another.

# %%
import hashlib

from luthier.files import sha256_of
from luthier.model.sources import SHORT_NAMES

source = SHORT_NAMES["smollm2-135m"]
spec = importlib.util.find_spec(source.package)
file = Path(spec.submodule_search_locations[0]) / source.file
print(f"{file.name}: {file.stat().st_size / 1e6:.0f} MB")
print("hash of the file:", sha256_of(file))
print("expected:        ", source.sha256)
text = b"a model of 135 million parameters"
print("one bit changed: ", hashlib.sha256(bytes([text[0] ^ 1]) + text[1:]).hexdigest()[:16], "and not",
      hashlib.sha256(text).hexdigest()[:16])  # fmt: skip
sizes = {name: sum(one.stat().st_size for one in Path(metadata.distribution(name).locate_file(name)).rglob("*.py"))
         for name in ("torch", "transformers", "numpy")}  # fmt: skip
show(bars("Python code of the packages", [(name, size / 1e6) for name, size in sizes.items()], "MB"))

# %% tags=["claim"]
# The file is the one that the labs were written for.
assert sha256_of(file) == source.sha256

# %% [markdown]
# ## Fill a hole
#
# A lab needs a version, or a newer one. Compare two versions such as `4.57.1` and `4.9`. They are numbers between
# points. Missing numbers at the end are zero.


# %% tags=["hole"]
def at_least(version: str, wanted: str) -> bool:
    """Whether a version is the wanted one or newer."""
    ### BEGIN SOLUTION
    parts = [[int(part) for part in text.split(".")] for text in (version, wanted)]
    longest = max(map(len, parts))
    mine, needed = ([*part, *[0] * (longest - len(part))] for part in parts)
    return mine >= needed
    ### END SOLUTION


# %% tags=["test"]
assert at_least("2.8.0", "2.5.1"), "at_least: 2.8 is newer than 2.5"
assert not at_least("1.9", "2.0"), "at_least: 1.9 is older than 2.0"
### BEGIN HIDDEN TESTS
assert at_least("4.57.1", "4.9.0"), "at_least: 57 is more than 9; they are numbers, and not letters"
assert at_least("2.8", "2.8.0"), "at_least: 2.8 and 2.8.0 are the same version"
assert not at_least("4.9", "4.10"), "at_least: 9 is less than 10; a version is no decimal number"
### END HIDDEN TESTS

# %% [markdown]
# ## Your question

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("lab1.1/where", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("lab1.1/newest", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("lab1.1/pip", my_choice)

# %% [markdown]
# ## What this does not show
#
# Versions that are right do not prove that a program works: a package may be broken, or built for another processor.
# And a hash says that a file is the expected one. It does not say that the file is good.
