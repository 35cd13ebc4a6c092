"""plan(): what arms of a model take, from its configuration and the arms' short forms. No torch.

    model, arms, lengths --plan--> PlanRecord        with --fits, what fits into the device's memory

Lengths are `tokens` alone, or those of a task's own rows, rendered and counted with the model's own tokenizer.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from itertools import cycle, islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

import luthier
from luthier.adapt.settings import FORMS, refuse_family, refuse_width
from luthier.arms.short_form import name_of, parse
from luthier.arms.spec import ArmSpec
from luthier.decoding.settings import Generation
from luthier.defaults import ANSWER, BATCH, MOST_DEV
from luthier.errors import ModelError, SettingsError
from luthier.model.sizes import width_called
from luthier.planning.devices import HERE, Device, device
from luthier.planning.fits import Fits, Question, fits
from luthier.planning.lengths import Lengths, rendered_lengths
from luthier.planning.lessons import with_lessons
from luthier.planning.passes import Pass, Rows
from luthier.planning.plan import PlannedArm, moving_of, plan_arm, with_domain
from luthier.planning.read import USUAL_LABELS, config_of, folder_of, shape_from
from luthier.planning.seconds import training_work
from luthier.planning.shape import Shape
from luthier.planning.terms import Setting, activation_terms, fixed_training
from luthier.planning.tokenizer import LightTokenizer, special_tokens
from luthier.planning.trainer import Loop, Shard, trainer_terms
from luthier.results.names import DOMAIN
from luthier.results.plan_record import ArmPlan, PlanPhase, PlanRecord, PlanTerm
from luthier.settings import Settings, settings_from
from luthier.training.settings import PASSES, Training

if TYPE_CHECKING:  # a plan without a task needs none of it
    from luthier.task.prompt import Renderer
    from luthier.task.task import Task

Accounting = Literal["luthier", "transformers"]
BITS = {"32": ("fp32", None), "16": ("bf16", None), "8": ("bf16", "int8"), "4": ("bf16", "nf4")}
TOKENS = 512  # of a row, where nothing says how many
MOST = 10_000_000  # tokens, rows, devices and GB: more than anybody has


class PlanSpec(Settings):
    """What `luthier plan` was asked."""

    model: str = Field(
        description="a folder, a config.json, a short name, a hub id, or a well-known model such as llama-3.1-8b"
    )
    arms: tuple[str, ...] = Field(("lora",), strict=False, description="the arms' short forms")
    tokens: int | None = Field(None, description=f"tokens of a row, prompt and target; None: {TOKENS}")
    task: str | None = Field(None, description="a task whose own lengths are used instead; None: rows of --tokens")
    batch: int | None = Field(None, ge=1, le=2**20, description="examples of an optimizer step; None: the arm's own")
    answer: int = Field(ANSWER, description=f"the most new tokens of an answer; None: {ANSWER}")
    bits: Literal["32", "16", "8", "4"] | None = Field(
        None, description="of the model's weights; None: 32 on a CPU, 16 on another device"
    )
    device: str = Field(HERE, description=f"a listed device, such as a100; None: '{HERE}', this machine's processor")
    devices: int = Field(1, description="how many devices a Trainer's loop runs on; None: 1")
    shard: Shard = Field("none", description="what is split over the devices; None: nothing")
    accounting: Accounting = Field(
        "luthier",
        description="whose loop trains: transformers is a Trainer's, with all logits and padding; None: luthier's own",
    )
    memory: float | None = Field(None, gt=0, le=MOST, description="GB that the process may hold; None: no bound")

    @field_validator("tokens", "answer", "devices")
    @classmethod
    def _is_possible(cls, value: int | None) -> int | None:
        if value is not None and not 1 <= value <= MOST:
            raise ValueError(f"{value} is no such number; give one from 1 to {MOST:,}")
        return value

    @field_validator("arms")
    @classmethod
    def _are_different(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        if not arms:
            raise ValueError("no arm is named; leave arms out, or name one")
        names = [name_of(text) for text in arms]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"the arm '{twice[0]}' is named twice; name it once")
        return arms

    @model_validator(mode="after")
    def _goes_together(self) -> PlanSpec:
        if self.shard != "none" and self.devices == 1:
            raise ValueError(f"{self.shard} splits over several devices; give --devices 2 or more")
        if self.accounting == "luthier" and self.devices > 1:
            raise ValueError("luthier's own loop runs on one device; add --accounting transformers")
        if self.task is not None and self.tokens is not None:
            raise ValueError("a task brings its own lengths; give either --task or --tokens")
        return self


def plan(model: str, **asked: Any) -> PlanRecord:
    """The plans of arms. The keywords are the keys of PlanSpec. Raises LuthierError for what cannot be planned."""
    return Planner(settings_from(PlanSpec, {"model": model, **asked}, "plan")).record()


class Planner:
    """One request: its shape, lengths and device, and the plans of its arms."""

    def __init__(self, request: PlanSpec) -> None:
        self.request = request
        self._lengths: dict[Asked, Lengths] = {}  # a task's rows are rendered once for arms that are asked alike
        self.config = config_of(request.model)
        self.task = luthier.load_task(request.task) if request.task else None
        self.labels = len(self.task.labels) if self.task and self.task.labels else USUAL_LABELS
        self.shape = shape_from(self.config, self.labels)
        if self.task and not self.task.labels and self.shape.family == "encoder":
            raise SettingsError(f"plan: {request.model} is an encoder, which writes no text; choose a model that does")
        self.device: Device = with_lessons(device(request.device))
        self.folder = folder_of(request.model)
        self.special_tokens = len(special_tokens(self.folder)) if self.folder else 0
        self.labelled = bool(self.task and self.task.labels) or self.shape.family == "encoder"
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
        """The plan of one arm. Raises SettingsError for an arm of another model, or of a width that is not known."""
        spec = self._spec(text)
        if not FORMS[spec.method].asks_model:
            return ArmPlan(method=spec.method, model="", parameters=0, trainable=0)
        lengths = self.lengths(text)
        arm = self._arm(text, spec, len(lengths.train))
        if self.request.batch is not None:
            arm = replace(arm, batch_size=self.request.batch)
        begins = self._domain(text, spec)
        if begins is not None and arm.method == DOMAIN:  # it trains on texts alone
            lengths = replace(lengths, train=begins[1].train if self.request.accounting == "transformers" else ())
        if self.request.accounting == "transformers":
            return self._as_trainer(arm, lengths)
        if arm.method != DOMAIN:
            lengths = _with_replay(settings_from(Training, spec.training, f"arm '{text}'"), lengths)
        plan = plan_arm(self.shape, arm, self.setting(), lengths, self.device)
        if begins is None:
            return plan
        return with_domain(plan, self.shape, begins[0], self.setting(), begins[1], self.device)

    def _domain(self, text: str, spec: ArmSpec) -> tuple[PlannedArm, Lengths] | None:
        """The further pretraining that an arm is, or begins with, and the lengths of its texts; None: neither.

        Without a task it is one step of pieces of `tokens` tokens.
        """
        given = spec.settings | spec.training if spec.method == DOMAIN else spec.domain
        if given is None:
            return None
        from luthier.arms.domain_texts import lengths_of_texts, settings_of  # most arms begin with no texts

        settings, training = settings_of(given, f"arm '{text}'")
        rows = self.request.batch or training.batch_size
        if self.task is None:
            lengths = Lengths.alike(self.request.tokens or settings.row, self.request.answer, rows)
            lengths = replace(lengths, train=tuple((1, sum(pair) - 1) for pair in lengths.train))
        else:
            train = [one for one in self.task.train if one.is_usable]
            pieces = lengths_of_texts(settings, self.task, train, self._renderer, begin=0, seed=0)
            lengths = replace(self.lengths(text), train=pieces, shared=0)
        arm = replace(PlannedArm.of(DOMAIN, settings, training, len(lengths.train)), batch_size=rows)
        return arm, _with_replay(training, lengths)

    def _spec(self, text: str) -> ArmSpec:
        spec = parse(text)
        if spec.model not in (None, self.request.model):
            raise SettingsError(
                f"arm '{text}': it is an arm of {spec.model}, and this plan is of {self.request.model}; "
                f"plan it with --model {spec.model}"
            )
        where, form = f"arm '{text}'", FORMS[spec.method]
        settings_from(Generation, spec.generation, where)
        settings_from(form.settings, spec.settings, where)
        if form.asks_model:
            refuse_family(where, spec.method, self.request.model, self.shape.family)
        if spec.width is not None:
            refuse_width(where, spec.method, spec.width)
            width_called(spec.width, where)
            if self.shape.family == "encoder":
                raise SettingsError(
                    f"{where}: the weights of an encoder are not made {spec.width} here; leave the width out"
                )
        return spec

    def _arm(self, text: str, spec: ArmSpec, examples: int) -> PlannedArm:
        """The arm with its defaults. Raises SettingsError for settings of another kind."""
        form = FORMS[spec.method]
        settings = settings_from(form.settings, spec.settings, f"arm '{text}'")
        usual = {"most_epochs": PASSES} if self.shape.family == "encoder" else {}
        training = settings_from(Training, usual | spec.training, f"arm '{text}'") if form.trains else None
        chooses = self.labelled and spec.answer != "generation"
        arm = PlannedArm.of(
            spec.method, settings, training, examples,
            width=spec.width, answers=self.shape.family != "encoder" and not chooses,
            sequences=Generation.model_validate(spec.generation).rows, special_tokens=self.special_tokens,
        )  # fmt: skip
        return self._narrowed(arm)

    def setting(self) -> Setting:
        kind: Any = "cpu" if self.device.kind == "cpu" else "cuda"
        bound = self.request.memory * 1e9 if self.request.memory else None
        return Setting(precision=self.precision, device=kind, bound=bound, machine=self.device.memory)

    def _narrowed(self, arm: PlannedArm) -> PlannedArm:
        """The arm on weights of the asked bits, unless it names its own: adapters train on them, prompts are asked."""
        if self.width is None or (arm.method == "qlora" and "width" in arm.settings.model_fields_set):
            return arm
        if arm.method in ("lora", "qlora"):
            return replace(arm, method="qlora", settings=SimpleNamespace(**dict(arm.settings) | {"width": self.width}))
        if not FORMS[arm.method].trains:
            return replace(arm, width=arm.width or self.width)
        raise SettingsError(f"plan: {arm.method} does not train on {self.width}; choose lora, or --bits 16")

    def lengths(self, text: str) -> Lengths:
        """Rows of `tokens` tokens, or the lengths of the task's rows under the arm's template."""
        request, spec = self.request, self._spec(text)
        if self.task is None:
            answer = spec.generation.get("max_new_tokens") or request.answer
            return Lengths.alike(request.tokens or TOKENS, answer, max(BATCH, request.batch or 0))
        asked = asked_as(self.task, spec, self.shape)
        if asked not in self._lengths:
            self._lengths[asked] = lengths_of(self.task, asked, self._renderer)
        return self._lengths[asked]

    @cached_property
    def _renderer(self) -> Renderer:
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
            setting = replace(self.setting(), batch_size=arm.batch_size)
            work = training_work(self.shape, moves, setting, lengths, self.device, arm.passes, loop.how)
            plan["micro_tokens"] = loop.rows.padded
            plan["training"] = PlanPhase(
                terms=[PlanTerm(name=one.name, bytes=round(one.bytes)) for one in terms if round(one.bytes)],
                flops=work.flops,
                seconds=round(work.seconds / self.request.devices, 3),
            )
        return ArmPlan(**plan)

    def fits(self, text: str) -> Fits:
        """What of an arm fits into the device's memory, or into `memory`.

        Of an arm that trains: rows of its longest length, all of a step at once. Of another: its own prompts.
        """
        memory = self.request.memory * 1e9 if self.request.memory else self.device.memory
        spec, lengths = self._spec(text), self.lengths(text)
        trains = FORMS[spec.method].trains
        arm = self._arm(text, spec, len(lengths.train))
        longest = max((sum(pair) for pair in lengths.train), default=TOKENS) if trains else max(lengths.test, default=0)
        question = Question(
            bits=self.request.bits or ("32" if self.precision == "fp32" else "16"),
            rows=(self.request.batch or arm.batch_size) if trains else len(lengths.test),
            tokens=longest,
            recompute=False,
            method=spec.method,
            devices=self.request.devices,
            trains=trains,
            shards=self.request.accounting == "transformers",
        )
        answering = self._answering_peak(arm, lengths, question) if trains and not question.shards else 0.0
        return fits(question, memory, lambda asked: self._peak(text, asked), answering)

    def _peak(self, text: str, asked: Question) -> float | None:
        """The peak of an arm in training, or in answering where it does not train, as `fits` varies it."""
        varied = copy.copy(self)  # the same shape, task and device
        varied.precision, varied.width = BITS[asked.bits]
        try:
            spec = self._spec(text)
            if asked.method != spec.method:
                text, spec = asked.method, parse(asked.method)
            arm = varied._arm(text, spec, asked.rows)
            if not asked.trains:
                return varied._answering_peak(arm, self.lengths(text), asked)
            return varied._training_peak(replace(arm, batch_size=asked.rows), asked)
        except (SettingsError, ModelError):
            return None

    def _answering_peak(self, arm: PlannedArm, lengths: Lengths, asked: Question) -> float:
        """Of the prompts, cut to `asked.tokens`: as many at once as the bound allows, or one that is over it."""
        cut = replace(lengths, train=(), test=tuple(min(length, asked.tokens) for length in lengths.test))
        planned = plan_arm(self.shape, arm, self.setting(), cut, None)
        if planned.refused is not None:
            cut = replace(cut, test=(max(cut.test),))
            planned = plan_arm(self.shape, arm, replace(self.setting(), bound=None), cut, None)
        return float(planned.peak_bytes)

    def _training_peak(self, arm: PlannedArm, asked: Question) -> float:
        """Of rows that are all `asked.tokens` long."""
        moves, lengths = moving_of(self.shape, arm), Lengths.alike(asked.tokens, self.request.answer, asked.rows)
        if self.request.accounting == "luthier":
            setting = arm.within(self.setting())
            terms = fixed_training(self.shape, moves, setting)
            terms += activation_terms(self.shape, moves, setting, list(lengths.train), 0, asked.recompute)
            return sum(term.bytes for term in terms)
        shard = self.request.shard if asked.devices == self.request.devices else "fsdp"
        loop = trainer_loop(self.shape, arm, self.precision, lengths, self.device.kind == "cpu")
        how = replace(loop.how, recompute="blocks" if asked.recompute else "none")
        loop = replace(loop, how=how, width=moves.width, devices=asked.devices, shard=shard)
        return sum(term.bytes for term in trainer_terms(self.shape, moves, loop))


def _with_replay(training: Training, lengths: Lengths) -> Lengths:
    """The lengths with general rows as replay adds them, each taken as long as one of the arm's own rows."""
    count = training.replayed(len(lengths.train))
    return lengths.with_general(list(islice(cycle(lengths.train), count))) if lengths.train else lengths


def trainer_loop(shape: Shape, arm: PlannedArm, precision: str, lengths: Lengths, on_cpu: bool) -> Loop:
    """A Trainer's loop over rows padded to the longest."""
    prompt, target = lengths.longest
    count = min(arm.batch_size, len(lengths.train))
    rows = Rows(count, prompt + target, prompt + target)
    if shape.family == "encoder-decoder":
        rows = Rows(count, prompt, target)
    whole = arm.method in ("full", "domain", "select", "bitfit")
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


class Asked(NamedTuple):
    """How an arm is asked, as far as its lengths go."""

    template: str
    shots: int
    trains: bool
    answer: int  # most new tokens


def asked_as(task: Task, spec: ArmSpec, shape: Shape) -> Asked:
    usual = "bare" if spec.method == "bare" or shape.family == "encoder" else task.spec.prompt.default
    settings = settings_from(FORMS[spec.method].settings, spec.settings, "plan")
    answer = spec.generation.get("max_new_tokens") or task.spec.answer.max_new_tokens
    return Asked(spec.template or usual, int(getattr(settings, "shots", 0)), FORMS[spec.method].trains, answer)


def lengths_of(task: Task, asked: Asked, renderer: Renderer) -> Lengths:
    """The lengths of a task's rows under an arm's template and shots, as a study renders them."""
    from luthier.task.prompt import draw_shots
    from luthier.task.spec import SPLITS

    shots = draw_shots(task.train, asked.shots, task.spec.prompt.shot_seed) if asked.shots else []
    train, dev, test = ([one for one in task.split(name) if one.is_usable] for name in SPLITS)
    return rendered_lengths(
        renderer, task.template(asked.template), shots, train if asked.trains else [], dev[:MOST_DEV], test,
        renderer.room_for(max(asked.answer, task.spec.answer.max_new_tokens)), asked.answer,
    )  # fmt: skip
