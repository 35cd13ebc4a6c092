"""The model in the formats that other tools read, made once with their own converters."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFWriter, LlamaFileType
from gguf.quants import dequantize

from bench.rows import MODEL
from luthier.model.sources import SHORT_NAMES


def gguf() -> Path | None:
    """The packaged file that our weights come from."""
    packaged = SHORT_NAMES[MODEL]
    spec = importlib.util.find_spec(packaged.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / packaged.file


def widen(source: Path, target: Path) -> None:
    """The same file with every matrix as float16, written whole or not at all."""
    reader = GGUFReader(source)
    part = target.with_suffix(".part")
    writer = GGUFWriter(part, arch="llama")
    for field in reader.fields.values():
        if not field.name.startswith(("GGUF.", "general.architecture", "general.file_type", "general.quantization")):
            writer.add_key_value(field.name, field.contents(), field.types[0], field.types[-1])
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, values.astype(np.float16 if values.ndim > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(target)


def converted(model: str, work: Path) -> dict[str, str]:
    """Where each format lies; `NAME-problem` says why one could not be made."""
    source, wide = gguf(), work / "float16.gguf"
    if source is None:
        places = {f"{name}-problem": "the packaged GGUF file is not installed" for name in ("gguf", "gguf-16bit")}
    else:
        if not wide.exists():
            widen(source, wide)
        places = {"gguf": str(source), "gguf-16bit": str(wide)}
    commands = {"ctranslate2": ["-m", "ctranslate2.converters.transformers", "--model", model, "--output_dir"]}
    for name, command in commands.items():
        folder = work / name
        if importlib.util.find_spec(command[1].partition(".")[0]) is None:
            places[f"{name}-problem"] = f"{command[1].partition('.')[0]} is not installed"
        elif folder.is_dir() or (problem := _make(command, folder)) is None:
            places[name] = str(folder)
        else:
            places[f"{name}-problem"] = problem
    return places


def _make(command: list[str], folder: Path) -> str | None:
    """Runs a converter; a folder stands only when it ended well. Returns the error's last line, or None."""
    part = folder.with_name(folder.name + ".part")
    done = subprocess.run([sys.executable, *command, str(part)], capture_output=True, text=True)
    if done.returncode != 0 or not part.is_dir():
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
    part.rename(folder)
    return None
