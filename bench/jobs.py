"""What is run: one job is one peer with its options on one piece of work. The first of each group is ours.

Peers that can choose train and answer in the faster of fp32 and bf16 on this machine, as luthier does by itself. Rows
that only show the slower of the two, or a tool at work that it has a row for already, are `extra`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from luthier.model.model import best_precision

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
BF16 = best_precision("cpu") == "bf16"


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
    seconds: int = 60  # what a run took, loading included, on two cores; for estimates until there is a result
    extra: bool = False  # run only when asked for

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name}"


def training_jobs(method: str) -> list[Job]:
    """Each tool for one of 'lora' and 'full'."""
    group, best, other = f"train-{method}", {"bf16": BF16}, {"bf16": not BF16}
    lora = method == "lora"
    # Half a minute of one step says as much as two steps of a faster tool; its rows are of all lengths.
    one_step = {"steps": 1, "mixed": True}
    fast = {} if lora else one_step
    by_other = "fp32" if BF16 else "bf16"

    def job(name: str, label: str, file: str, seconds: tuple[int, int], *options: dict[str, Any], **more: Any) -> Job:
        order = {"method": method}
        for given in options:
            order |= given
        kept = {"needs": ("torch", "peft", "accelerate"), "environment": MEMORY} | more
        return Job(group, name, label, file, order, seconds=seconds[0 if lora else 1], **kept)

    def trl(name: str, label: str, variant: str, **more: Any) -> Job:
        return job(name, label, "trl_sft.py", (45, 55), best, one_step, {"variant": variant}, needs=("trl",), **more)

    def alone(name: str, label: str, file: str, *seconds: int) -> Job:
        return job(name, label, file, seconds, best, one_step, needs=(), venv=name)

    def extra(name: str, label: str, file: str, **options: Any) -> Job:
        return job(f"{name}-{by_other}", label, file, (90, 110), other, one_step, options, extra=True)

    tuned, notebook = {"style": "tuned"}, {"style": "notebook"}
    return [
        job("ours", "luthier", "ours_train.py", (38, 34), fast, environment={}),
        job("handwritten", "a loop written by hand", "handwritten.py", (55, 46), best, fast),
        trl("trl", "TRL SFTTrainer", "padded"),
        trl("trl-packed", "TRL SFTTrainer, packing", "packed"),
        trl("trl-padding-free", "TRL SFTTrainer, padding-free", "padding_free", extra=True),
        alone("litgpt", "LitGPT", "litgpt_finetune.py", 60, 75),
        alone("unsloth", "Unsloth", "unsloth_sft.py", 50, 60),
        job("tuned", "Trainer, tuned", "trainer.py", (48, 55), best, one_step, tuned),
        job("notebook", "Trainer as in a notebook", "trainer.py", (65, 80), one_step, notebook, environment={}),
        extra("handwritten", "a loop written by hand", "handwritten.py"),
        extra("tuned", "Trainer, tuned", "trainer.py", **tuned),
    ]


# The work of each group, and the seconds it takes beside loading: transformers' generate in bf16 on two cores.
GENERATION = {
    "generate-1": ({"batch": 1, "first": 5}, 16),
    "generate-16": ({"batch": 16, "middle": True}, 35),
    "generate-48": ({"batch": 48}, 70),
    "generate-shots": ({"batch": 16, "middle": True, "shots": True}, 56),
}
LOADING = 6  # seconds


def generation_jobs(group: str) -> list[Job]:
    """Each tool one at a time, with a batch of 16, all 48 at once, or with three shots in front of each dialogue."""
    about, seconds = GENERATION[group]
    shots = about.get("shots", False)
    four_bits = {"weights": "gguf", "precision": "Q4_1", "weight_bits": 5, "share": shots}
    wide = {"weights": "gguf-16bit", "precision": "fp16 weights", "weight_bits": 16, "share": shots}

    def job(name: str, label: str, file: str, needs: str, speed: float, extra: bool = False, **options: Any) -> Job:
        took = LOADING + round(seconds / speed)
        return Job(
            group, name, label, file, about | options, (needs,), ENVIRONMENTS.get(file, {}), seconds=took, extra=extra
        )

    def transformers(name: str, label: str, speed: float, extra: bool = False, **options: Any) -> Job:
        label = f"transformers {label}"
        return job(name, label, "transformers_generate.py", "torch", speed, extra, **options)

    def openvino(name: str, options: dict[str, Any], speed: float) -> Job:
        return job(name, "OpenVINO GenAI", "openvino_generate.py", "openvino_genai", speed, shots, **options)

    def ctranslate2(precision: str, speed: float, extra: bool) -> Job:
        options = {"weights": "ctranslate2", "precision": precision, "share": shots}
        return job(f"ctranslate2-{precision}", "CTranslate2", "ctranslate2_generate.py", "ctranslate2", speed, extra,
                   **options)  # fmt: skip

    jobs = [
        job("ours", "luthier", "ours_generate.py", "torch", 1.5),
        transformers("generate-fp32", "generate", 1.0, extra=shots and BF16, precision="fp32", paged=False),
        transformers("generate-bf16", "generate", 1.0, extra=shots and not BF16, precision="bf16", paged=False),
        openvino("openvino-4bit", four_bits, 7.0),
        openvino("openvino-16bit", wide, 4.0),
        job("llamacpp-4bit", "llama.cpp", "llamacpp_generate.py", "llama_cpp", 2.0, shots, **four_bits),
        ctranslate2("int8", 1.6, extra=shots),
        ctranslate2("float32", 1.0, extra=True),
        transformers("paged", "generate_batch", 1.0, shots or group == "generate-1", precision="fp32", paged=True),
    ]
    if group == "generate-1":
        for precision in ("fp32", "bf16"):
            extra = precision != ("bf16" if BF16 else "fp32")
            jobs.append(transformers(f"lookup-{precision}", "generate, prompt lookup", 1.2, extra,
                                     precision=precision, paged=False, lookup=True))  # fmt: skip
    if shots:
        jobs.insert(1, job("ours-unshared", "luthier, shots read for each row", "ours_generate.py", "torch", 1.0,
                           share=False))  # fmt: skip
    return jobs


def serving_jobs() -> list[Job]:
    """Our server with 48 clients at once, beside the generator that drives it, asked without a server."""
    precision = "bf16" if BF16 else "fp32"
    about = {"batch": 48, "precision": precision}
    server = Job("serve", "ours", "luthier serve, 48 streams", "ours_serve.py", about, ("uvicorn", "httpx"), seconds=90)
    offline = Job("serve", "offline", "luthier, one batch of 48", "ours_generate.py", about, ("torch",), seconds=60)
    return [server, offline]


def all_jobs() -> list[Job]:
    """Every job, in the order in which a round runs them."""
    limit = Job("limit", "machine", "what the machine can do at best", "limit.py", {}, ("torch",), seconds=12)
    growing = Job("scaling", "ours", "luthier, growing work", "ours_scaling.py", {"method": "lora"}, ("torch", "peft"),
                  seconds=40)  # fmt: skip
    return [
        limit,
        *(job for method in ("lora", "full") for job in training_jobs(method)),
        *(job for group in GENERATION for job in generation_jobs(group)),
        *serving_jobs(),
        growing,
    ]
