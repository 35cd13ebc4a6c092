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
    program: str = ""  # a program that must be on the path
    clone: str = ""  # a repository that must lie in bench/.work
    device: str = "cpu"  # or cuda: where it runs, and whose results it belongs to
    seconds: int = 60  # what a run took, loading included, on two cores; for estimates until there is a result
    extra: bool = False  # run only when asked for

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name}"


def training_jobs(method: str) -> list[Job]:
    """Each tool for one of 'lora' and 'full'."""
    group, best, other = f"train-{method}", {"bf16": BF16}, {"bf16": not BF16}
    by_other = "fp32" if BF16 else "bf16"

    def job(name: str, label: str, file: str, seconds: tuple[int, int], *options: dict[str, Any], **more: Any) -> Job:
        order = {"method": method}
        for given in options:
            order |= given
        kept = {"needs": ("torch", "peft", "accelerate"), "environment": MEMORY} | more
        return Job(group, name, label, file, order, seconds=seconds[method == "full"], **kept)

    def trl(name: str, label: str, variant: str, **more: Any) -> Job:
        return job(name, label, "trl_sft.py", (70, 90), best, {"variant": variant}, needs=("trl",), **more)

    def alone(name: str, label: str, file: str, *seconds: int) -> Job:
        return job(name, label, file, seconds, best, needs=(), venv=name)

    def extra(name: str, label: str, file: str, **options: Any) -> Job:
        return job(f"{name}-{by_other}", label, file, (120, 160), other, options, extra=True)

    tuned, notebook = {"style": "tuned"}, {"style": "notebook"}
    return [
        job("ours", "luthier", "ours_train.py", (38, 60), environment={}),
        job("handwritten", "a loop written by hand", "handwritten.py", (55, 80), best),
        trl("trl", "TRL SFTTrainer", "padded"),
        trl("trl-packed", "TRL SFTTrainer, packing", "packed"),
        trl("trl-padding-free", "TRL SFTTrainer, padding-free", "padding_free", extra=True),
        alone("litgpt", "LitGPT", "litgpt_finetune.py", 95, 120),
        alone("unsloth", "Unsloth", "unsloth_sft.py", 70, 95),
        job("tuned", "Trainer, tuned", "trainer.py", (70, 90), best, tuned),
        job("notebook", "Trainer as in a notebook", "trainer.py", (125, 150), notebook, environment={}),
        extra("handwritten", "a loop written by hand", "handwritten.py"),
        extra("tuned", "Trainer, tuned", "trainer.py", **tuned),
    ]


# Shapes of pretraining: a decoder whose MLP is 4 times as wide, rows of 256 tokens, 16 rows a step.
PRETRAINING = {
    "pretrain-256": ({"width": 256, "layers": 6, "heads": 4}, 16),
    "pretrain-512": ({"width": 512, "layers": 8, "heads": 8}, 55),
}


def pretraining_jobs(group: str) -> list[Job]:
    """Our loop from nothing with Muon and with AdamW, nanochat's (Muon), nanoGPT's (AdamW), and one written by hand
    (AdamW).

    All on the same text, width, layers and tokens a step.
    """
    shape, seconds = PRETRAINING[group]

    def job(name: str, label: str, file: str, **more: Any) -> Job:
        kept = {"needs": ("torch",), "environment": MEMORY, "seconds": seconds} | more
        return Job(group, name, label, file, shape | {"bf16": BF16} | kept.pop("options", {}), **kept)

    adamw = {"optimizer": "adamw"}

    def nanogpt(name: str, label: str, **more: Any) -> Job:
        return job(name, label, "nanogpt_pretrain.py", clone="nanoGPT", **more)

    def nanochat(name: str, label: str, **more: Any) -> Job:
        label = f"{label}, Muon; more embeddings"
        return job(name, label, "nanochat_pretrain.py", clone="nanochat", seconds=seconds * 3 // 2, **more)

    eager = MEMORY | {"TORCHDYNAMO_DISABLE": "1"}
    return [
        job("ours", "luthier pretrain", "ours_pretrain.py", environment={}),
        job("ours-adamw", "luthier pretrain, AdamW", "ours_pretrain.py", environment={}, options=adamw),
        nanochat("nanochat", "nanochat", program="g++"),
        nanochat("nanochat-uncompiled", "nanochat, not compiled", environment=eager, extra=True),
        nanogpt("nanogpt", "nanoGPT"),
        nanogpt("nanogpt-compiled", "nanoGPT, compiled", options={"compile": True}, extra=True),
        job("handwritten", "a loop of torch's own layers", "handwritten_pretrain.py"),
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
        job("ours-lora", "luthier, a LoRA arm", "ours_generate.py", "peft", 1.5, shots, method="lora"),
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
    """Servers with 48 clients at once, beside our generator, asked without a server."""
    precision = "bf16" if BF16 else "fp32"
    about = {"batch": 48, "precision": precision}
    client = ("uvicorn", "httpx")

    def server(name: str, label: str, seconds: int, needs: tuple[str, ...], **more: Any) -> Job:
        options = about | {"server": name} | more.pop("options", {})
        return Job("serve", name, label, "servers.py", options, (*client, *needs), MEMORY, seconds=seconds, **more)

    wide = {"weights": "gguf-16bit", "precision": "fp16 weights", "weight_bits": 16}
    return [
        server("ours", "luthier serve", 120, ("torch",), options={"server": "luthier"}),
        Job("serve", "offline", "luthier, one batch of 48", "ours_generate.py", about, ("torch",), seconds=60),
        server("llamacpp", "llama-cpp-python's server", 300, ("llama_cpp", "sse_starlette"), options=wide),
        server("llama-server", "llama.cpp's llama-server", 200, (), program="llama-server", options=wide),
        server("transformers", "transformers serve", 200, ("openai",)),
    ]


def busy_jobs() -> list[Job]:
    """What people do, on the machine as it is and with as many spinning processes beside it as it has cores."""
    works = {
        "ask": ("luthier ask, one answer", 60),
        "study": ("luthier study, two arms on 8 test examples", 150),
        "batch": ("48 answers in one batch", 150),
    }
    return [
        Job("busy", name, label, "busy.py", {"work": name, "batch": 48}, ("torch",), seconds=seconds)
        for name, (label, seconds) in works.items()
    ]


def gpu_jobs() -> list[Job]:
    """What is measured where there is a GPU, and said to be *not measured* where there is none."""
    cuda = {"device": "cuda", "bf16": True, "precision": "bf16"}

    def job(group: str, name: str, label: str, file: str, needs: tuple[str, ...] = (), **more: Any) -> Job:
        options = cuda | more.pop("options", {})
        return Job(f"gpu-{group}", name, label, file, options, ("torch", *needs), device="cuda", **more)

    training = [
        row
        for method in ("lora", "full")
        for row in (
            job(f"train-{method}", "ours", "luthier", "ours_train.py", options={"method": method}),
            job(f"train-{method}", "handwritten", "a loop written by hand", "handwritten.py",
                options={"method": method}),
            job(f"train-{method}", "liger", "Trainer with Liger's kernels", "trainer.py", ("liger_kernel",),
                options={"method": method, "style": "liger"}),
            job(f"train-{method}", "unsloth", "Unsloth", "unsloth_sft.py", venv="unsloth",
                options={"method": method}),
        )
    ]  # fmt: skip
    batch = {"batch": 48}
    return [
        job("limit", "machine", "what the GPU can do at best", "limit.py"),
        *training,
        job("generate-48", "ours", "luthier", "ours_generate.py", options=batch),
        job("generate-48", "generate-bf16", "transformers generate", "transformers_generate.py",
            options=batch | {"paged": False}),
        job("generate-48", "vllm", "vLLM", "vllm_generate.py", venv="vllm", options=batch),
    ]  # fmt: skip


def all_jobs() -> list[Job]:
    """Every job, in the order in which a round runs them: a GPU first, where there is one."""
    limit = Job("limit", "machine", "what the machine can do at best", "limit.py", {}, ("torch",), seconds=12)
    growing = Job("scaling", "ours", "luthier, growing work", "ours_scaling.py", {"method": "lora"}, ("torch", "peft"),
                  seconds=40)  # fmt: skip
    return [
        *gpu_jobs(),
        limit,
        *(job for method in ("lora", "full") for job in training_jobs(method)),
        *(job for group in PRETRAINING for job in pretraining_jobs(group)),
        *(job for group in GENERATION for job in generation_jobs(group)),
        *serving_jobs(),
        *busy_jobs(),
        growing,
    ]
