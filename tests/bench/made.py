"""Runs as peers report them, made for the tests."""

from __future__ import annotations

from typing import Any


def training_run(number: int, tokens: int, seconds: float, **more: Any) -> dict[str, Any]:
    return {
        "round": number, "tokens": tokens, "supervised": 10, "squares": 100, "seconds": seconds,
        "work_seconds": 2 * seconds, "peak_bytes": 2**30, "precision": "fp32",
    } | more  # fmt: skip


def machine_run(fp32: float) -> dict[str, Any]:
    return {
        "round": 1, "fp32_flops": {"1024": fp32 / 2, "2048": fp32}, "bf16_flops": {"1024": fp32 / 4},
        "triad_bytes_per_second": 1e10, "read_bytes_per_second": 2e10,
    }  # fmt: skip


def generation_run(answer: list[int], **more: Any) -> dict[str, Any]:
    return {
        "round": 1, "prompt_tokens": 10, "new_tokens": 4, "examples": 1, "squares": 100, "passes": 4, "seconds": 2.0,
        "work_seconds": 3.0, "peak_bytes": 2**30, "answer": answer, "weight_bits": 32, "commit": "abcdefgh",
        "changed": True,
    } | more  # fmt: skip


def results(**more: Any) -> dict[str, Any]:
    return {
        "machine": {
            "processor": "P", "cores": 2, "memory_bytes": 2**30, "kind": "p-avx2-2-cores", "features": ["avx2"],
        },
        "labels": {"train-full/ours": "luthier", "train-full/a": "A", "train-full/b": "B"},
        "missing": {"train-full/b": "b is not installed"},
        "runs": {
            "limit/machine": [machine_run(1e12)],
            # The machine was half as fast in round 2: rates differ, the ratio does not.
            "train-full/ours": [training_run(1, 1000, 1.0), training_run(2, 1000, 2.0)],
            "train-full/a": [training_run(1, 1000, 3.0), training_run(2, 500, 3.0)],
        },
    } | more  # fmt: skip
