"""What the machine says of itself is plain, and peaks are measured from where one asks for it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import luthier
from luthier import machine

ROOT = Path(__file__).parents[1]
HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
LINUX = pytest.mark.skipif(not HUGE.exists() or "[never]" in HUGE.read_text(), reason="no huge pages here")


def run(code: str, *arguments: object) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "THP_MEM_ALLOC_ENABLE"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=ROOT, env=environment)
    return done.stdout


def test_versions_name_what_shapes_numbers() -> None:
    found = machine.versions()
    assert {"python", "luthier", "torch", "transformers", "rouge-score"} <= set(found)


def test_the_description_is_plain_values() -> None:
    found = machine.describe("cpu")
    assert found["cores"] >= 1 and found["memory_bytes"] > 1e8 and found["device"] == "cpu"


INTEL, AMD = "vendor_id\t: GenuineIntel\nmodel name\t: Xeon", "vendor_id\t: AuthenticAMD\nmodel name\t: EPYC"


@pytest.mark.parametrize("info, kind, features", [
    (f"{INTEL}\nflags\t: avx2 avx512f avx512_bf16", "intel-avx512-bf16-2-cores", ("avx512-bf16", "avx512", "avx2")),
    (f"{INTEL}\nflags\t: avx2 avx512f avx512_bf16 amx_bf16 amx_tile", "intel-amx-2-cores",
     ("amx", "avx512-bf16", "avx512", "avx2")),
    (f"{AMD}\nflags\t: avx2 avx512f avx512_bf16", "amd-avx512-bf16-2-cores", ("avx512-bf16", "avx512", "avx2")),
    (f"{AMD}\nflags\t: avx2", "amd-avx2-2-cores", ("avx2",)),
    ("vendor_id\t: CentaurHauls\nflags\t: sse2", "centaurhauls-2-cores", ()),
    ("CPU implementer\t: 0x41\nFeatures\t: fp asimd sve bf16", "arm-bf16-2-cores", ("bf16", "sve", "neon")),
])  # fmt: skip
def test_the_kind_of_machine(info: str, kind: str, features: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.Path, "read_text", lambda *_, **__: info)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
    assert machine.kind("cpu") == kind and machine.processor().features == features


def test_a_system_that_does_not_say_has_a_kind_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, *_: object, **__: object) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(machine.Path, "read_text", read)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 1)
    assert machine.kind("cpu").endswith("-1-core") and machine.processor().features == ()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system cannot start a peak anew")
def test_a_peak_counts_from_its_reset() -> None:
    machine.reset_peak()
    before = machine.peak_bytes()
    held = bytearray(200_000_000)
    held[::4096] = b"x" * len(held[::4096])
    assert machine.peak_bytes() > before + 150_000_000
    del held
    machine.reset_peak()
    assert machine.peak_bytes() < before + 100_000_000


def test_the_commit_is_that_of_our_own_checkout() -> None:
    commit, dirty = machine.commit()
    assert commit is None or (len(commit) == 40 and dirty in (True, False))


# --- as fast from Python as from the command line: what a call settles for the process ------------------------------


@pytest.mark.slow
@LINUX
def test_large_tensors_lie_in_huge_pages_and_no_variable_stays() -> None:
    """torch reads the variable at its first tensor, which a library makes when it is imported."""
    code = (
        "import luthier, os; luthier.study; import torch; big = torch.ones(64 << 20)\n"
        "held = [line.split()[1] for line in open('/proc/self/smaps_rollup') if line.startswith('AnonHugePages')]\n"
        "print(int(held[0]) > 100_000, 'THP_MEM_ALLOC_ENABLE' in os.environ)"
    )
    assert run(code).split() == ["True", "False"]


@pytest.mark.slow
@LINUX
def test_memory_that_is_handed_back_is_left_alone() -> None:
    """The heap asks for huge pages no more, so the kernel fills no holes with them; a new large tensor asks again."""
    code = (
        "import re, luthier; luthier.study; import torch\n"
        "from luthier import machine\n"
        "def asking():\n"
        "    kinds = re.findall(r'\\[heap\\].*?VmFlags:([^\\n]*)', open('/proc/self/smaps').read(), re.DOTALL)\n"
        "    return any('hg' in flags.split() for flags in kinds)\n"
        "machine.keep_freed_memory()\n"
        "held = [torch.ones(1 << 20) for _ in range(20)]; before = asking()\n"
        "del held[1:]; machine.give_back_freed_memory(); after = asking()\n"
        "held.append(torch.ones(1 << 20)); print(before, after, asking())"
    )
    assert run(code).split() == ["True", "False", "True"]


def test_what_somebody_decided_on_huge_pages_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    with machine.huge_pages_for_tensors():
        assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_an_answer_s_memory_is_kept_by_the_process(tiny_folder: Callable[[str], Path]) -> None:
    """Touched for the second time, memory that was freed costs no page faults."""
    code = (
        "import os; os.environ['THP_MEM_ALLOC_ENABLE'] = '0'\n"  # huge pages would hide what this is about
        "import resource, sys, luthier, torch\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    torch.ones(16 << 20)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "next(luthier.ask(sys.argv[1], 'Anna: Monday?'))\n"
        "faults(); print(faults())"
    )
    assert int(run(code, tiny_folder("decoder-chat"))) < 1000  # of 16,384 pages


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("studies.study", lambda: luthier.study("nowhere")),
        ("studies.multitask", lambda: luthier.multitask(["nowhere", "there"])),
        ("arms.ask", lambda: next(luthier.ask("nowhere", "text"))),
        ("arms.ask", lambda: next(luthier.ask_probabilities("nowhere", "text"))),
        ("arms.merge", lambda: luthier.merge_arm(Path("nowhere"), Path("there"))),
    ],
)
def test_every_call_that_trains_or_answers_keeps_freed_memory(
    module: str, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kept(Exception):
        pass

    def kept() -> None:
        raise Kept

    monkeypatch.setattr(importlib.import_module(f"luthier.{module}"), "keep_freed_memory", kept)
    with pytest.raises(Kept):
        call()


def test_the_addresses_that_a_process_has_and_may_have() -> None:
    mapped = machine.mapped_bytes()
    if mapped is None:
        pytest.skip("this system does not say how many addresses a process has")
    assert mapped > 10**7
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9)); from luthier import machine; "
        "print(machine.most_mapped_bytes(), 10**6 < machine.mapped_bytes() < 10**9)"
    )
    assert run(code).split() == [str(10**9), "True"]


@pytest.mark.parametrize("given, threads", [("3", 3), ("", None), ("0", None), ("many", None)])
def test_threads_are_those_that_libraries_start(
    given: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert machine.threads() == (threads or os.cpu_count())


def test_what_a_process_can_hold_is_bounded_by_what_it_may_map() -> None:
    code = (
        "import resource; from luthier import machine; free = machine.most_bytes()\n"
        "most = machine.mapped_bytes() + 10**8; resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "print(free > 2 * 10**8, 10**8 <= machine.most_bytes() <= 2 * 10**8)"
    )
    if machine.most_bytes() is None:
        pytest.skip("this system does not say what a process holds")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_what_the_processors_did_is_read_from_the_kernel(tmp_path: Path) -> None:
    """Waiting and idling are no work, stolen time is, and a guest's is in user already."""
    file = tmp_path / "stat"
    file.write_text("cpu  100 20 30 9000 500 1 2 3 70 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    assert machine.machine_seconds(file) == (100 + 20 + 30 + 1 + 2 + 3) / os.sysconf("SC_CLK_TCK")
    file.write_text("nothing of the kind\n")
    assert machine.machine_seconds(file) is None and machine.machine_seconds(tmp_path / "none") is None


def test_others_are_the_rest_over_the_time() -> None:
    before, after = machine.Spent(10.0, 100.0, 5.0), machine.Spent(20.0, 121.0, 24.0)
    assert after.others_since(before) == pytest.approx(0.2)  # 21 s of the machine less 19 of ours, in 10
    assert machine.Spent(20.0, 110.0, 24.0).others_since(before) == 0.0  # ticks are coarse
    assert machine.Spent(20.0, None, 24.0).others_since(before) is None
    assert before.others_since(before) is None


def test_a_child_that_was_waited_for_is_no_stranger() -> None:
    before = machine.spent()
    work = "import time\nwhile time.process_time() < .3: pass"
    subprocess.run([sys.executable, "-c", work], check=True)
    assert machine.spent().own - before.own >= 0.3


@pytest.mark.parametrize(
    "cores, threads, others, own, device, says",
    [
        (4, 4, 0.3, 40.0, "cpu", None),
        (4, 4, 0.5, 40.0, "cpu", "others used 0.5 of the processors"),
        (4, 2, 2.1, 20.0, "cpu", None),  # two processors are left for others
        (4, 2, 2.3, 20.0, "cpu", "others used 2.3"),
        (4, 2, 0.0, 7.0, "cpu", "waited"),  # the arm was stopped for some of the ten seconds
        (4, 2, 0.0, 1.0, "cuda", None),
        (4, 2, None, 20.0, "cpu", None),
    ],
)
def test_what_disturbs(
    cores: int, threads: int, others: float | None, own: float, device: str, says: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(machine, "threads", lambda: threads)
    monkeypatch.setattr(machine, "processor", lambda: machine.Processor("v", "p", (), cores))
    before = machine.Spent(100.0, 0.0, 0.0)
    after = machine.Spent(110.0, None if others is None else 10 * others + own, own)
    found = machine.disturbed(before, after, device)
    assert found is None if says is None else says in (found or "")
