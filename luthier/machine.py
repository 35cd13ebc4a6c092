"""What the machine is, how much memory the process took, and one setting that makes big tensors cheap again."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's mallopt parameters (malloc.h)


def keep_freed_memory() -> None:
    """Lets the process reuse freed memory, in huge pages, instead of handing it back after every tensor.

    Activations are megabytes large, and glibc maps and unmaps each of them: 5 million page faults in 100 s of LoRA
    training, 0.4 million with this; 10 % off a training step and 11 % off reading a prompt on two cores (docs/log.md).
    Call it before torch is imported. Does nothing where the C library is not glibc.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    except (OSError, AttributeError):
        return


def give_back_freed_memory() -> None:
    """Hands what was freed back to the system: tensors of other sizes come next, and would be put beside the holes."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def reset_peak() -> None:
    """Starts a new measurement of peak memory. What was freed is given back first: it is nobody's any more."""
    give_back_freed_memory()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        sys.modules["torch"].cuda.reset_peak_memory_stats()


def peak_bytes() -> int:
    """Most bytes held since `reset_peak`: on the GPU where there is one, else resident memory of the process."""
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        return int(sys.modules["torch"].cuda.max_memory_allocated())
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions() -> dict[str, str]:
    """The versions that shape the numbers."""
    packages = ("luthier", "torch", "transformers", "tokenizers", "peft", "rouge-score", "sacrebleu", "numpy", "scipy")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe(device: str) -> dict[str, Any]:
    """Processor, cores, memory, and the device that answers."""
    try:
        info = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.platform(),
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "device": device,
    }


def commit() -> tuple[str | None, bool | None]:
    """(commit, dirty) of the checkout that luthier runs from; (None, None) when it was installed from a package."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True).stdout

    try:
        if not git("ls-files", "errors.py").strip():
            return None, None
        return git("rev-parse", "HEAD").strip(), bool(git("status", "--porcelain", ".").strip())
    except (OSError, subprocess.CalledProcessError):
        return None, None
