"""The machine and its kind, what the process and others used of it, and settings that make large tensors cheaper."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})  # names of this machine itself
# What /proc/cpuinfo calls the features that decide how fast matrix products are, the strongest first: on x86 each has
# those behind it too. An ARM processor lists its own.
FEATURES = {
    "amx": "amx_bf16", "avx512-bf16": "avx512_bf16", "avx512": "avx512f", "avx2": "avx2",
    "bf16": "bf16", "sve": "sve", "neon": "asimd",
}  # fmt: skip
_VENDORS = {"GenuineIntel": "intel", "AuthenticAMD": "amd"}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's mallopt parameters (malloc.h)
_MADV_NOHUGEPAGE = 15  # Linux's madvise (mman.h)
# Columns of /proc/stat (man 5 proc) in which a processor works: user, nice, system, irq, softirq, steal; guests are in
# user already.
_BUSY = (0, 1, 2, 5, 6, 7)
MOST_CROWDED = 0.1  # share of what a process's threads could use that others may use: else they disturb it
LEAST_AT_WORK = 0.8  # of its wall seconds that work on a processor computes at least: else it was stopped, or waited


def keep_freed_memory() -> None:
    """Lets the whole process reuse freed memory instead of handing it back after every tensor, from now on.

    Activations are megabytes large, and glibc maps and unmaps each of them, which costs page faults (docs/log.md has
    the figures). This changes two settings of glibc's malloc (mallopt). They hold for the whole process and cannot be
    undone, since glibc does not report the old values. Under another C library this does nothing.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    except (OSError, AttributeError):
        return


@contextlib.contextmanager
def huge_pages_for_tensors() -> Iterator[None]:
    """Make torch's first tensor inside this block: torch then places large tensors in huge pages.

    torch reads the environment variable once. The block removes it again, so child processes do not inherit it.
    """
    variable = "THP_MEM_ALLOC_ENABLE"
    if variable in os.environ:  # the user decided
        yield
        return
    os.environ[variable] = "1"
    try:
        yield
    finally:
        os.environ.pop(variable, None)


def give_back_freed_memory() -> None:
    """Hands freed memory back to the system. Use it before tensors of other sizes, which do not fit into the holes."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.malloc_trim(0)
        _leave_holes_empty(libc)


def _leave_holes_empty(libc: ctypes.CDLL) -> None:
    """Takes back the wish for huge pages from the whole heap; torch asks again for each large tensor that it makes.

    Where it asked once, the kernel (khugepaged) fills every 2 MiB that hold a single page with zeros, minutes after the
    rest was handed back: what was freed counts again (docs/log.md). Huge pages that are in use stay.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith("[heap]"):
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_NOHUGEPAGE)


def reset_peak() -> None:
    """Starts a new measurement of peak memory. It first gives back freed memory, which would count otherwise."""
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


def mapped_bytes() -> int | None:
    """Bytes of addresses that the process has now; None where the system does not say."""
    try:
        return int(_statm()[0]) * resource.getpagesize()
    except (OSError, MemoryError):
        return None


def most_mapped_bytes() -> int | None:
    """Bytes of addresses that the process may have (`ulimit -v`); None where there is no bound."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if most == resource.RLIM_INFINITY else most


def most_bytes() -> int | None:
    """Bytes that the process could hold: what it holds, and what its limit, its container and the machine have left.

    None where the system does not say.
    """
    left = []
    with contextlib.suppress(OSError, MemoryError, ValueError):
        table = Path("/proc/meminfo").read_text()
        left.append(int(table.partition("MemAvailable:")[2].split()[0]) * 1024)
    with contextlib.suppress(OSError, MemoryError, ValueError):  # "max" where a container has no bound
        group = Path("/sys/fs/cgroup")
        left.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    with contextlib.suppress(OSError, MemoryError, ValueError, IndexError):
        mapped, resident = (int(word) * resource.getpagesize() for word in _statm()[:2])
        if (most := most_mapped_bytes()) is not None:
            left.append(most - mapped)
        return resident + max(0, min(left)) if left else None
    return None


def _statm() -> list[str]:
    return Path("/proc/self/statm").read_text().split()


def threads() -> int:
    """How many threads numerical libraries start: $OMP_NUM_THREADS, else one for each core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else os.cpu_count() or 1


@dataclass(frozen=True)
class Spent:
    """Seconds so far: on the wall's clock, of all processors (None where the system does not say), of this process and
    the children that it waited for.
    """

    wall: float
    machine: float | None
    own: float

    def others_since(self, before: Spent) -> float | None:
        """Cores that others kept busy in between."""
        if self.machine is None or before.machine is None or self.wall <= before.wall:
            return None
        others = (self.machine - before.machine) - (self.own - before.own)
        return max(0.0, others) / (self.wall - before.wall)


def spent() -> Spent:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Spent(time.monotonic(), machine_seconds(), sum(one.ru_utime + one.ru_stime for one in used))


def disturbed(before: Spent, after: Spent, device: str) -> str | None:
    """Why the wall's seconds in between are not those of the work alone; None where they are, or nobody knows better.

    Others disturb where they use processors that this process's threads could have used: not where enough are left.
    """
    own = threads() if device == "cpu" else 1
    others = after.others_since(before)
    if others is not None and others - (processor().cores - own) > MOST_CROWDED * own:
        return f"others used {others:.1f} of the processors meanwhile"
    if device == "cpu" and after.own - before.own < LEAST_AT_WORK * (after.wall - before.wall):
        return "it waited for something other than its own work"
    return None


def machine_seconds(file: Path = Path("/proc/stat")) -> float | None:
    """Seconds that all processors worked since the machine was started."""
    try:
        ticks = file.read_text().split("\n", 1)[0].split()[1:]
        return sum(int(ticks[column]) for column in _BUSY) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def versions() -> dict[str, str]:
    """The versions of the packages that the numbers depend on."""
    from importlib import metadata  # slow to import, and most verbs ask for no version

    packages = ("luthier", "torch", "transformers", "tokenizers", "peft", "rouge-score", "sacrebleu", "numpy", "scipy")
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True)
class Processor:
    """What /proc/cpuinfo says. `features` are those of FEATURES that it has, the strongest first."""

    vendor: str
    name: str
    features: tuple[str, ...]
    cores: int


def processor() -> Processor:
    """The processor of this machine; without features where the system does not say."""
    cores = os.cpu_count() or 1
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        name = platform.processor() or platform.machine()
        return Processor(platform.machine().lower() or "unknown", name, (), cores)
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in info.splitlines())}
    given = fields.get("vendor_id", "")
    vendor = _VENDORS.get(given, given or ("arm" if "CPU implementer" in fields else platform.machine()))
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    features = tuple(feature for feature, flag in FEATURES.items() if flag in flags)
    return Processor(vendor.lower(), fields.get("model name") or platform.processor() or vendor, features, cores)


def kind(device: str) -> str:
    """The kind of machine that a figure of speed belongs to, as a file's name: vendor, strongest feature and cores of
    the processor, such as intel-amx-2-cores, or the name of the GPU where `device` is one.
    """
    if device.startswith("cuda"):
        import torch  # only where a GPU is asked about

        words = torch.cuda.get_device_name(device)
    else:
        found = processor()
        words = " ".join([found.vendor, *found.features[:1], f"{found.cores} core{'s' * (found.cores != 1)}"])
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def memory_bytes() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def describe(device: str) -> dict[str, Any]:
    """Processor, cores, memory, and the device that answers."""
    return {
        "system": platform.platform(),
        "processor": processor().name,
        "cores": os.cpu_count(),
        "memory_bytes": memory_bytes(),
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
