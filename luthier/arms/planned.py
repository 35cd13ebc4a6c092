"""plan(): what arms of a model take, from its configuration and the arms' short forms. No torch.

    model, arms, lengths --plan--> PlanRecord        with --fits, what fits into the device's memory

Lengths are `tokens` alone, or those of a task's own rows, rendered and counted with the model's own tokenizer.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from luthier.adapt.settings import FORMS
from luthier.arms.short_form import name_of, parse
from luthier.arms.spec import ArmSpec
from luthier.errors import ModelError, SettingsError
from luthier.planning.devices import Device, device
from luthier.planning.fits import Fits, Question, fits
from luthier.planning.lengths import Lengths, rendered_lengths
from luthier.planning.passes import Pass, Rows
from luthier.planning.plan import PlannedArm, moving_of, plan_arm
from luthier.planning.read import config_of, folder_of, shape_from
from luthier.planning.seconds import training_work
from luthier.planning.shape import Shape
from luthier.planning.terms import Setting, activation_terms, fixed_training, split
from luthier.planning.tokenizer import LightTokenizer, special_tokens
from luthier.planning.trainer import Loop, Shard, trainer_terms
from luthier.results.plan_record import ArmPlan, PlanPhase, PlanRecord, PlanTerm
from luthier.settings import Settings, settings_from
from luthier.training.settings import PASSES, Training

if TYPE_CHECKING:  # a plan without a task needs none of it
    from luthier.task.prompt import Renderer
    from luthier.task.task import Task

Accounting = Literal["luthier", "transformers"]
BITS = {"32": ("fp32", None), "16": ("bf16", None), "8": ("bf16", "int8"), "4": ("bf16", "nf4")}
TOKENS = 512  # of a row, where nothing says how many
ROWS = 8  # training and test rows, where no task says how many
MOST_DEV = 32  # dev examples, as in a study


MOST = 10_000_000  # tokens, rows, devices and GB: more than anybody has


class Request(Settings):
    """What `luthier plan` was asked. `bits` of the frozen weights; `memory` bounds the process, in GB."""

    model: str
    arms: tuple[str, ...] = Field(default=("lora",), strict=False)
    tokens: int | None = None
    task: str | None = None
    batch: int | None = None
    answer: int = 80
    bits: Literal["32", "16", "8", "4"] | None = None
    device: str = "here"
    devices: int = 1
    shard: Shard = "none"
    accounting: Accounting = "luthier"
    memory: float | None = Field(default=None, gt=0, le=MOST)

    @field_validator("tokens", "batch", "answer", "devices")
    @classmethod
    def _is_possible(cls, value: int | None) -> int | None:
        if value is not None and not 1 <= value <= MOST:
            raise ValueError(f"{value} is no such number; give one from 1 to {MOST:,}")
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> Request:
        if self.shard != "none" and self.devices == 1:
            raise ValueError(f"{self.shard} splits over several devices; give --devices 2 or more")
        if self.task is not None and self.tokens is not None:
            raise ValueError("a task brings its own lengths; give either --task or --tokens")
        return self


def plan(model: str, **asked: Any) -> PlanRecord:
    """The plans of arms. The keywords are the keys of Request. Raises LuthierError for what cannot be planned."""
    return Planner(settings_from(Request, {"model": model, **asked}, "plan")).record()


class Planner:
    """One request: its shape, lengths and device, and the plans of its arms."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self._lengths: dict[str, Lengths] = {}  # by short form: a task's rows are rendered once
        self.config = config_of(request.model)
        self.task = _load_task(request.task) if request.task else None
        self.labels = len(self.task.labels) if self.task and self.task.labels else 2
        self.shape = shape_from(self.config, self.labels)
        self.device: Device = device(request.device)
        self.folder = folder_of(request.model)
        usual = "fp32" if self.device.kind == "cpu" else "bf16"
        self.precision, self.width = BITS[request.bits] if request.bits else (usual, None)

    def record(self) -> PlanRecord:
        """The plans of all arms."""
        arms = {name_of(text): self.arm_plan(text) for text in self.request.arms}
        return PlanRecord(
            format=1,
            accounting=self.request.accounting,
            device=self.device.name,
            precision=self.precision,
            rates=self.device.source,
            arms=arms,
        )

    def arm_plan(self, text: str) -> ArmPlan:
        spec = parse(text)
        if not FORMS[spec.method].asks_model:
            return ArmPlan(method=spec.method, model="", parameters=0, trainable=0)
        lengths = self.lengths(text)
        arm = planned_arm(name_of(text), spec, self.shape, len(lengths.train), self.special_tokens, bool(self.labelled))
        arm = self._narrowed(arm)
        if self.request.batch is not None:
            arm = replace(arm, batch_size=self.request.batch)
        if self.request.accounting == "transformers":
            return self._as_trainer(arm, lengths)
        return plan_arm(self.shape, arm, self.setting(), lengths, self.device)

    @property
    def labelled(self) -> bool:
        return bool(self.task and self.task.labels) or self.shape.family == "encoder"

    @property
    def special_tokens(self) -> int:
        return len(special_tokens(self.folder)) if self.folder else 0

    def setting(self) -> Setting:
        kind: Any = "cpu" if self.device.kind == "cpu" else "cuda"
        bound = self.request.memory * 1e9 if self.request.memory else None
        return Setting(precision=self.precision, device=kind, bound=bound)

    def _narrowed(self, arm: PlannedArm) -> PlannedArm:
        """The arm on weights of the asked bits: an adapter trains on them, a prompt is answered by them."""
        if self.width is None:
            return arm
        if arm.method in ("lora", "qlora"):
            return replace(arm, method="qlora", settings=SimpleNamespace(**dict(arm.settings) | {"width": self.width}))
        if not FORMS[arm.method].trains:
            return replace(arm, width=self.width)
        raise SettingsError(f"plan: {arm.method} does not train on {self.width}; choose lora, or --bits 16")

    def lengths(self, text: str) -> Lengths:
        """Rows of `tokens` tokens, or the lengths of the task's rows under the arm's template."""
        request = self.request
        if self.task is None:
            return Lengths.alike(request.tokens or TOKENS, request.answer, max(ROWS, request.batch or 0))
        if text not in self._lengths:
            self._lengths[text] = lengths_of(self.task, parse(text), self.renderer(), self.shape)
        return self._lengths[text]

    def renderer(self) -> Renderer:
        from luthier.model.template_trial import refuse_unsafe
        from luthier.task.prompt import Renderer

        if self.folder is None:
            raise ModelError(f"{self.request.model}: its tokenizer is not on this machine; give --tokens, not --task")
        labels = tuple(self.task.labels) if self.task else ()
        renderer = Renderer(LightTokenizer(self.folder), self.shape.family, self.shape.window or 2048, labels)
        if renderer.chat_template:  # nothing of the model is loaded here, so nobody has tried it yet
            refuse_unsafe(renderer.chat_template)
        return renderer

    def _as_trainer(self, arm: PlannedArm, lengths: Lengths) -> ArmPlan:
        """The same arm as a Trainer's loop takes it: all logits, padding, and no recomputation."""
        moves = moving_of(self.shape, arm)
        plan: dict[str, Any] = {
            "method": arm.method, "model": self.shape.name,
            "parameters": moves.parameters(self.shape), "trainable": moves.trainable(self.shape),
        }  # fmt: skip
        if moves.trains and lengths.train:
            loop = trainer_loop(self.shape, arm, self.precision, lengths, self.device.kind == "cpu")
            loop = replace(loop, devices=self.request.devices, shard=self.request.shard, width=moves.width)
            terms = trainer_terms(self.shape, moves, loop)
            work = training_work(self.shape, moves, self.setting(), lengths, self.device, arm.passes, False)
            plan["micro_tokens"] = loop.rows.padded
            plan["training"] = PlanPhase(
                terms=[PlanTerm(name=one.name, bytes=round(one.bytes)) for one in terms if round(one.bytes)],
                flops=work.flops,
                seconds=round(work.seconds / self.request.devices, 3),
            )
        return ArmPlan(**plan)

    def fits(self, text: str) -> Fits:
        """What of an arm fits into the device's memory, or into `memory`."""
        memory = self.request.memory * 1e9 if self.request.memory else self.device.memory
        spec = parse(text)
        method = spec.method
        arm_batch = self.request.batch or int(spec.training.get("batch_size", ROWS))
        lengths = self.lengths(text)
        question = Question(
            bits=self.request.bits or ("32" if self.precision == "fp32" else "16"),
            rows=arm_batch,
            tokens=max([*map(sum, lengths.train), *lengths.test], default=TOKENS),
            recompute=False,
            method=method,
            devices=self.request.devices,
        )
        return fits(question, memory, lambda asked: self._peak(text, asked))

    def _peak(self, text: str, asked: Question) -> float | None:
        """The peak of an arm in training, or in answering where it does not train, as `fits` varies it."""
        if asked.method != parse(text).method:
            text = asked.method
        shard: Shard = "fsdp" if asked.devices > 1 else self.request.shard
        changed = self.request.model_copy(update={
            "bits": asked.bits, "batch": asked.rows, "tokens": asked.tokens, "task": None, "memory": None,
            "devices": asked.devices, "shard": shard,
        })  # fmt: skip
        try:
            planner = Planner(changed)
            return planner._peak_of(text, asked)
        except (SettingsError, ModelError):
            return None

    def _peak_of(self, text: str, asked: Question) -> float:
        spec, lengths = parse(text), self.lengths(text)
        lengths = replace(lengths, train=lengths.train[:1] * asked.rows)
        arm = self._narrowed(planned_arm(text, spec, self.shape, asked.rows, self.special_tokens, self.labelled))
        moves = moving_of(self.shape, arm)
        if not moves.trains:
            return float(plan_arm(self.shape, arm, self.setting(), lengths, None).peak_bytes)
        if self.request.accounting == "luthier":
            setting = self.setting()
            rows = list(lengths.train)
            terms = fixed_training(self.shape, moves, setting)
            terms += activation_terms(self.shape, moves, setting, rows, lengths.shared, asked.recompute)
            return sum(term.bytes for term in split(terms, asked.devices, self.request.shard))
        loop = trainer_loop(self.shape, replace(arm, batch_size=asked.rows), self.precision, lengths, False)
        how = replace(loop.how, recompute="blocks" if asked.recompute else "none")
        loop = replace(loop, how=how, width=moves.width, devices=asked.devices, shard=self.request.shard)
        return sum(term.bytes for term in trainer_terms(self.shape, moves, loop))


def planned_arm(
    name: str, spec: ArmSpec, shape: Shape, examples: int, special: int = 0, labelled: bool = False
) -> PlannedArm:
    """An arm's short form with its defaults, as a plan needs it. Raises SettingsError for settings of another kind."""
    form = FORMS[spec.method]
    settings = settings_from(form.settings, spec.settings, f"arm '{name}'")
    usual = {"most_epochs": PASSES} if shape.family == "encoder" else {}
    training = settings_from(Training, usual | spec.training, f"arm '{name}'")
    return PlannedArm(
        name=name,
        method=spec.method,
        settings=settings,
        batch_size=training.batch_size,
        micro_tokens=training.micro_tokens,
        passes=training.passes(max(examples, 1)),
        evaluations=training.evaluations,
        width=spec.width,
        answers=shape.family != "encoder" and not (labelled and spec.answer != "generation"),
        special_tokens=special,
    )


def trainer_loop(shape: Shape, arm: PlannedArm, precision: str, lengths: Lengths, on_cpu: bool) -> Loop:
    """A Trainer's loop over rows padded to the longest."""
    prompt, target = lengths.longest
    count = min(arm.batch_size, len(lengths.train))
    rows = Rows(count, prompt + target, prompt + target)
    if shape.family == "encoder-decoder":
        rows = Rows(count, prompt, target)
    whole = arm.method in ("full", "select", "bitfit")
    how = Pass(
        number=4 if precision == "fp32" else 2,
        attention="masked",
        fused_norms=False,
        fused_lora=False,
        all_logits=True,
        on_cpu=on_cpu,
    )
    supervised = sum(sorted((target for _, target in lengths.train), reverse=True)[:count])
    return Loop(
        rows=replace(rows, supervised=supervised),
        weights=precision,
        trained=precision if whole else "fp32",
        computes=precision,
        how=how,
    )


def lengths_of(task: Task, spec: ArmSpec, renderer: Renderer, shape: Shape) -> Lengths:
    """The lengths of a task's rows under an arm's template and shots, as a study renders them."""
    from luthier.task.prompt import draw_shots
    from luthier.task.spec import SPLITS

    usual = "bare" if spec.method == "bare" or shape.family == "encoder" else task.spec.prompt.default
    text = task.template(spec.template or usual)
    settings = settings_from(FORMS[spec.method].settings, spec.settings, "plan")
    shots = draw_shots(task.train, int(getattr(settings, "shots", 0)), task.spec.prompt.shot_seed)
    answer = int(spec.generation.get("max_new_tokens") or task.spec.answer.max_new_tokens)
    room = 0 if shape.family == "encoder" else max(answer, task.spec.answer.max_new_tokens)
    train, dev, test = ([one for one in task.split(name) if one.is_usable] for name in SPLITS)
    train = train if FORMS[spec.method].trains else []
    return rendered_lengths(renderer, text, shots, train, dev[:MOST_DEV], test, room, answer)


def _load_task(name: str) -> Task:
    from luthier.task.task import load_task

    return load_task(name)
