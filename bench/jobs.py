"""What is run: one job is one peer with its options on one piece of work. The first of each group is ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# What PyTorch's own tuning guide and glibc's manual offer against page faults; luthier sets the same for itself.
MEMORY = {
    "THP_MEM_ALLOC_ENABLE": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}
ENVIRONMENTS = {
    "transformers_generate.py": MEMORY,
    "ctranslate2_generate.py": {"CT2_USE_MKL": "0"},  # oneDNN, twice as fast as MKL here
}


@dataclass(frozen=True)
class Job:
    """`group` names the work (train-lora, generate-16, ...), `name` the peer, `label` its row in the table."""

    group: str
    name: str
    label: str
    file: str
    options: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()  # modules that must be importable
    environment: dict[str, str] = field(default_factory=dict)
    venv: str = ""  # an environment of its own beside the benchmark's, for a tool whose versions do not fit in

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name}"


def training_jobs() -> list[Job]:
    """Each tool for full fine-tuning and for LoRA."""
    jobs = []
    for method in ("lora", "full"):
        given = {"method": method}
        group = f"train-{method}"
        jobs += [
            Job(group, "ours", "luthier", "ours_train.py", given, ("torch", "peft")),
            Job(group, "handwritten", "a loop written by hand", "handwritten.py", given | {"bf16": False},
                ("torch", "peft"), MEMORY),
            Job(group, "handwritten-bf16", "a loop written by hand, bf16 autocast", "handwritten.py",
                given | {"bf16": True, "mixed": True, "steps": 1}, ("torch", "peft"), MEMORY),
            Job(group, "trl", "TRL SFTTrainer", "trl_sft.py", given | {"bf16": False}, ("trl",), MEMORY),
            Job(group, "litgpt", "LitGPT", "litgpt_finetune.py", given | {"steps": 1}, (), MEMORY, "litgpt"),
            Job(group, "unsloth", "Unsloth", "unsloth_sft.py", given | {"bf16": False}, (), MEMORY, "unsloth"),
            Job(group, "tuned", "Trainer, tuned", "trainer.py", given | {"style": "tuned", "bf16": False},
                ("torch", "accelerate"), MEMORY),
            Job(group, "tuned-bf16", "Trainer, tuned, bf16", "trainer.py",
                given | {"style": "tuned", "bf16": True, "mixed": True, "steps": 1}, ("torch", "accelerate"), MEMORY),
            Job(group, "notebook", "Trainer as in a notebook", "trainer.py",
                given | {"style": "notebook", "mixed": True, "steps": 1}, ("torch", "accelerate")),
        ]  # fmt: skip
    return jobs


def generation_jobs() -> list[Job]:
    """Each tool one at a time, in batches of 16, all 48 at once, and with three shots in front of each dialogue."""
    jobs = []
    for group, about in {
        "generate-1": {"batch": 1, "first": 8},
        "generate-16": {"batch": 16},
        "generate-48": {"batch": 48},
        "generate-shots": {"batch": 16, "shots": True},
    }.items():
        jobs += _generation(group, about)
    return jobs


def _generation(group: str, about: dict[str, Any]) -> list[Job]:
    shots = about.get("shots", False)
    four_bits = {"weights": "gguf", "precision": "Q4_1", "weight_bits": 5, "share": shots}
    wide = {"weights": "gguf-16bit", "precision": "fp16 weights", "weight_bits": 16, "share": shots}

    def job(name: str, label: str, file: str, needs: str, **options: Any) -> Job:
        return Job(group, name, label, file, about | options, (needs,), ENVIRONMENTS.get(file, {}))

    def transformers(name: str, label: str, **options: Any) -> Job:
        return job(name, f"transformers {label}", "transformers_generate.py", "torch", **options)

    def ctranslate2(precision: str) -> Job:
        options = {"weights": "ctranslate2", "precision": precision, "share": shots}
        return job(f"ctranslate2-{precision}", "CTranslate2", "ctranslate2_generate.py", "ctranslate2", **options)

    jobs = [
        job("ours", "luthier", "ours_generate.py", "torch"),
        transformers("generate-fp32", "generate", precision="fp32", paged=False),
        transformers("generate-bf16", "generate", precision="bf16", paged=False),
        job("openvino-4bit", "OpenVINO GenAI", "openvino_generate.py", "openvino_genai", **four_bits),
        job("openvino-16bit", "OpenVINO GenAI", "openvino_generate.py", "openvino_genai", **wide),
        job("llamacpp-4bit", "llama.cpp", "llamacpp_generate.py", "llama_cpp", **four_bits),
        ctranslate2("int8"),
        ctranslate2("float32"),
    ]
    if shots:
        unshared = job("ours-unshared", "luthier, shots read for each row", "ours_generate.py", "torch", share=False)
        jobs.insert(1, unshared)
    if about["batch"] != 1:
        jobs.append(transformers("paged", "generate_batch", precision="fp32", paged=True))
    return jobs


def jobs(parts: list[str]) -> list[Job]:
    """The jobs of the named parts, in the order in which a round runs them."""
    limit = Job("limit", "machine", "what the machine can do at best", "limit.py", {}, ("torch",))
    scaling = Job("scaling", "ours", "luthier, growing work", "ours_scaling.py", {"method": "lora"}, ("torch", "peft"))
    by_part = {
        "limit": [limit],
        "train": training_jobs(),
        "generate": generation_jobs(),
        "scaling": [scaling],
    }
    return [job for part in by_part if part in parts for job in by_part[part]]


PARTS = ("limit", "train", "generate", "scaling")
