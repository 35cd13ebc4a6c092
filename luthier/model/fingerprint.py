"""Which files decide what a model answers, and the hash of each, taken from its bytes.

files_of_base(folder)     weights, config, generation settings, tokenizer, chat template of a base model
mark_of_base(folder)      one hash over these
files_of_arm(folder)      everything in the folder that an arm brings along: adapter/, weights/ or quantized/
refuse_other_files(...)   what is there must be what was measured: no file more, none less, none with other bytes
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from luthier.errors import ModelError
from luthier.files import refuse_links_in, sha256_of_text
from luthier.hashes import Difference, first_other, sha256_of_files

# What transformers looks for in a model's folder; encoders with a head also read how they pool.
DECIDING = (
    "*.json",
    "*.safetensors",
    "*.model",
    "*.tiktoken",
    "*.txt",
    "*.jinja",
    "*/*.jinja",
    "*_Pooling/config.json",
)
# A base may come with a license; and what luthier writes beside a conversion is not believed.
NOT_READ = ("LICENSE.txt", "luthier-source.json")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")  # loading one runs what it holds
_SAID: dict[Difference, str] = {
    "missing": "is not there, and what was measured had it",
    "added": "was not there when this was measured",
    "changed": "is not the file that was measured",
}


def files_of_base(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of the files in a base model's folder that decide its answers, in the order of their names."""
    found = {path for pattern in DECIDING for path in folder.glob(pattern) if path.is_file()}
    names = sorted(path.relative_to(folder).as_posix() for path in found)
    return {name: sha256_of_files(folder / name) for name in names if name not in NOT_READ and name[0] != "."}


def mark_of_base(folder: Path) -> str:
    """One hash over the files that decide a base model's answers, and their names."""
    return sha256_of_text(*(part for file in files_of_base(folder).items() for part in file))


def files_of_arm(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of every file below an arm's adapter/, weights/ or quantized/, but for what people read.

    Raises FolderError for a link, ModelError for a pickle.
    """
    refuse_links_in(folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if pickles := [name for name in names if name.lower().endswith(PICKLES)]:
        raise ModelError(
            f"{folder / pickles[0]}: is a pickle, which can run code when it is loaded; only safetensors are read, so "
            "remove it"
        )
    return {name: sha256_of_files(folder / name) for name in names if not name.endswith(".md")}


def refuse_other_files(folder: Path, measured: Mapping[str, str], here: Mapping[str, str], remedy: str) -> None:
    """Raises ModelError that names the first file that is missing, differs, or was not there when it was measured."""
    if other := first_other(measured, here):
        raise ModelError(f"{folder / other[0]}: {_SAID[other[1]]}; {remedy}")
