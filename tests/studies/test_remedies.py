"""Remedies: without them a training is today's, byte for byte; each does what its formula says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from luthier.adapt.methods import METHODS, method
from luthier.arms.resolve import resolve
from luthier.arms.short_form import parse
from luthier.arms.spec import ArmSpec
from luthier.arms.usual import with_baselines
from luthier.errors import SettingsError
from luthier.model.forward import collate, supervised_loss
from luthier.model.model import load
from luthier.planning.moving import moving
from luthier.planning.plan import PlannedArm
from luthier.planning.read import shape_of
from luthier.planning.terms import Setting, fixed_training, kept_of
from luthier.studies.remedies import Penalties, general_prompts
from luthier.studies.spec import StudySpec
from luthier.suites.texts import general
from luthier.task.task import load_task
from luthier.training.masters import Masters
from luthier.training.memory import Bound, kept_bytes, weight_bytes
from luthier.training.settings import Training
from tests import tiny
from tests.studies.test_study import make_task

Folder = Callable[[str], Path]


def test_settings_without_remedies_are_written_as_before_there_were_any() -> None:
    assert not {"replay", "kl", "anchor"} & set(Training().model_dump())
    assert Training(replay=0.0) == Training()
    assert Training(kl=0.1).model_dump()["kl"] == 0.1
    assert "scale" not in ArmSpec(method="lora").model_dump()
    assert not {"panel", "require_kept"} & set(StudySpec().model_dump())
    assert '"panel"' not in StudySpec().model_dump_json(exclude={"arms"})
    assert '"arms"' not in StudySpec(panel=True).model_dump_json(exclude={"arms"})


def test_general_rows_are_the_share_that_was_asked_and_drawn_without_repetition(tiny_folder: Folder) -> None:
    renderer = load(str(tiny_folder("decoder-chat")), precision="fp32").renderer
    renderer = replace(renderer, window=4096)
    assert general_prompts(renderer, Training(), 100, 0) == []
    rows = general_prompts(renderer, Training(replay=0.2), 100, 0)
    assert len(rows) == 25 and all(row.target_ids for row in rows)
    assert len({row.text for row in rows}) == 25
    many = general_prompts(renderer, Training(replay=0.5), 3 * len(general()), 0)
    assert len({row.id for row in many}) == len(many) == 3 * len(general())
    assert rows == general_prompts(renderer, Training(replay=0.2), 100, 0)
    assert rows != general_prompts(renderer, Training(replay=0.2), 100, 1)


def test_penalties_add_their_gradient_and_leave_the_logged_loss_alone(tiny_folder: Folder) -> None:
    model = load(str(tiny_folder("decoder-chat")), precision="fp32")
    base = load(str(tiny_folder("decoder-chat")), precision="fp32")
    prompts = tiny.train_prompts(model, 3)
    module = model.module
    batch = collate(prompts, module, "decoder")
    start = {name: p.detach().clone() for name, p in module.named_parameters()}
    penalties = Penalties.of(Training(kl=0.5, anchor=0.2), Masters(module), lambda: base)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    plain, count = supervised_loss(module, batch)
    loss, same = penalties.loss(module, prompts, batch)
    assert count == same and loss.item() == pytest.approx(plain.item(), rel=1e-6)

    def gradient(value: torch.Tensor) -> torch.Tensor:
        module.zero_grad()
        value.backward()
        return torch.cat([p.grad.flatten() for p in module.parameters()])

    def divergence() -> torch.Tensor:
        logits = [one(**batch_of(one)).logits[0] for one in (base.module, module)]
        p, q = (rows.log_softmax(-1) for rows in logits)
        wanted = collate(prompts[:1], module, "decoder").labels_BT[0] != -100
        return (p.exp() * (p - q)).sum(-1)[-len(wanted) :][wanted].sum()

    def batch_of(one: torch.nn.Module) -> dict:
        row = prompts[0]
        return {"input_ids": torch.tensor([[*row.prompt_ids, *row.target_ids]])}

    got = gradient(loss) - gradient(supervised_loss(module, batch)[0])
    pulled = torch.cat([(count * 0.2 * (p - start[name])).detach().flatten() for name, p in module.named_parameters()])
    kl_alone = gradient(Penalties.of(Training(kl=0.5), Masters(module), lambda: base).loss(module, prompts, batch)[0])
    kl_alone -= gradient(supervised_loss(module, batch)[0])
    torch.testing.assert_close(got, pulled + kl_alone, rtol=1e-3, atol=1e-4)
    one = Penalties(Training(kl=0.5), base, ())
    alone = collate(prompts[:1], module, "decoder")
    by_hand = gradient(0.5 * divergence())
    own = gradient(one.loss(module, prompts[:1], alone)[0]) - gradient(supervised_loss(module, alone)[0])
    torch.testing.assert_close(own, by_hand, rtol=1e-3, atol=1e-4)


def test_a_penalty_of_any_size_leaves_the_logged_loss_as_it_is(tiny_folder: Folder) -> None:
    model = load(str(tiny_folder("decoder-chat")), precision="fp32")
    module, prompts = model.module, tiny.train_prompts(model, 2)
    penalties = Penalties.of(Training(anchor=1e5), Masters(module), lambda: model)
    tiny.scramble(module)
    batch = collate(prompts, module, "decoder")
    loss, _ = penalties.loss(module, prompts, batch)
    assert loss.item() == supervised_loss(module, batch)[0].item()


@pytest.mark.parametrize("name, precision", [("lora", "fp32"), ("full", "fp32"), ("full", "bf16")])
def test_what_penalties_hold_is_what_a_plan_says(name: str, precision: str, tiny_folder: Folder) -> None:
    """A second base, what trains as it was at its start, and the base's log-probabilities of each row."""
    folder, row, training = str(tiny_folder("decoder-chat")), METHODS[name], Training(kl=0.1, anchor=0.1)
    model, base = (load(folder, precision=precision) for _ in range(2))
    module = row.apply(model, row.settings(), 0)
    shape = shape_of(folder)
    moves = moving(shape, name, row.settings())
    masters = Masters(module)
    penalties = Penalties.of(training, masters, lambda: load(folder, precision=precision))
    (prompt,) = tiny.train_prompts(model, 1)
    held, said, kept, planned = [], [], [], []

    def forward(by_row: Penalties) -> torch.Tensor:
        return by_row.loss(module, [prompt], collate([prompt], module, "decoder"))[0]

    for one, of in ((Penalties.of(Training(), masters, lambda: base), Training()), (penalties, training)):
        bound = one.bound(Bound(1.0, base.module), model.module)
        setting = PlannedArm.of(name, row.settings(), of, 10).within(Setting(precision))
        held.append(bound.fixed(module))
        said.append(sum(term.bytes for term in fixed_training(shape, moves, setting)))
        kept.append(kept_bytes(module, partial(forward, replace(one, start=()))))
        pair = len(prompt.prompt_ids), len(prompt.target_ids)
        planned.append(kept_of(shape, moves, setting)([pair], False))
    assert held == pytest.approx(said, abs=1) and held[1] > held[0] + weight_bytes(base.module)
    assert kept[1] - kept[0] == pytest.approx(planned[1] - planned[0], rel=0.02)
    assert planned[1] - planned[0] == 4 * len(prompt.target_ids) * 380  # one number for each token and word


def test_a_training_pulled_to_its_start_stays_nearer_to_it(tiny_folder: Folder) -> None:
    def moved(anchor: float) -> float:
        model = load(str(tiny_folder("decoder-chat")), precision="fp32")
        prompts = tiny.train_prompts(model, 4)
        penalties = Penalties.of(Training(anchor=anchor), Masters(model.module), lambda: model)
        start = [p.detach().clone() for p in model.module.parameters()]
        optimizer = torch.optim.SGD(model.module.parameters(), lr=0.1)
        for _ in range(5):
            loss, count = penalties.loss(model.module, prompts, collate(prompts, model.module, "decoder"))
            (loss / count).backward()
            optimizer.step()
            optimizer.zero_grad()
        return float(
            sum((p.detach() - s).square().sum() for p, s in zip(model.module.parameters(), start, strict=True))
        )

    assert moved(5.0) < moved(0.0) / 2


@pytest.mark.parametrize("name", ["full", "select", "ia3", "rslora", "lora-plus", "pissa"])
def test_a_saved_change_is_scaled_and_its_ends_are_exact(name: str, tiny_folder: Folder, tmp_path: Path) -> None:
    """0 leaves the base's bits, 1 the arm's, for every method that can be scaled."""
    row, folder = METHODS[name], str(tiny_folder("decoder-chat"))
    model = load(folder, precision="fp32")
    module = row.apply(model, row.settings(), 0)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    states = {}
    for scale in (None, 0.0, 0.5, 1.0):
        row.save(module, saved := tmp_path / str(scale))
        if scale is not None:
            row.scale_saved(load(folder, precision="fp32"), saved, scale)
        states[scale] = (row.merge or row.load)(load(folder, precision="fp32"), saved).module.state_dict()
    base = load(folder, precision="fp32").module.state_dict()
    assert all(states[0.0][key].equal(value) for key, value in base.items())
    assert all(states[1.0][key].equal(value) for key, value in states[None].items())
    moved = [key for key, value in base.items() if not states[None][key].allclose(value, atol=1e-4)]
    assert moved
    for key in moved:
        assert not states[0.5][key].equal(base[key]) and not states[0.5][key].equal(states[None][key])
        assert (states[0.5][key] - base[key]).mul(2).allclose(states[None][key] - base[key], atol=1e-5)


def test_an_update_of_the_embeddings_is_scaled_too(tiny_folder: Folder, tmp_path: Path) -> None:
    """peft has names of its own for it; the weights of this model are tied, so the update is not added to them."""
    row, folder, ids = METHODS["lora"], str(tiny_folder("decoder-chat")), torch.arange(5, 25)[None]
    model = load(folder, precision="fp32")
    module = row.apply(model, row.settings(targets="embed_tokens"), 0).eval()
    tiny.scramble(module)

    @torch.no_grad()
    def logits(of: torch.nn.Module) -> torch.Tensor:
        return of(input_ids=ids).logits

    found = {}
    for scale in (0.0, 1.0):
        row.save(module, saved := tmp_path / str(scale))
        row.scale_saved(model, saved, scale)
        found[scale] = logits(row.load(load(folder, precision="fp32"), saved).module)
    assert found[0.0].equal(logits(load(folder, precision="fp32").module))
    assert found[1.0].equal(logits(module)) and not found[1.0].equal(found[0.0])


def test_what_cannot_be_scaled_or_remedied_is_refused(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    task = load_task(str(make_task(tmp_path / "task")))
    for text in ("soft+scale=0.5", "dora+scale=0.5", "zero-shot+scale=1"):
        with pytest.raises(SettingsError, match="no change of weights to scale"):
            resolve("arm", parse(text), task)
    for text in ("lora+scale=3", "lora+scale=half", "lora+replay=1", "lora+kl=-1", "lora+anchor=-1"):
        with pytest.raises(SettingsError) as refused:
            resolve("arm", parse(text), task)
        assert "\n" not in str(refused.value)
    assert method("lora").scale_saved and parse("lora+scale=0.5").scale == 0.5


def test_the_whole_arm_stands_before_its_scaled_ones_and_once(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    task = load_task(str(make_task(tmp_path / "task")))
    names = ["lora+scale=0.5", "full", "lora+scale=0.2", "lora"]
    arms = with_baselines({name: parse(name) for name in names}, task)
    assert [name for name in arms if "lora" in name] == ["lora", "lora+scale=0.5", "lora+scale=0.2"]
    named = with_baselines({"mine": parse("lora+scale=0.5")}, task)
    assert named["mine whole"] == parse("lora")


def test_an_encoder_may_be_anchored(tiny_folder: Folder) -> None:
    model = load(str(tiny_folder("bert")), precision="fp32", labels=tiny.LABELS)
    prompts = [model.renderer.prompt(example, "{input}", train=True) for example in tiny.labelled(4)]
    penalties = Penalties.of(Training(anchor=0.1), Masters(model.module), lambda: model)
    batch = collate(prompts, model.module, model.family)
    loss, count = penalties.loss(model.module, prompts, batch)
    plain, same = supervised_loss(model.module, batch)
    assert (float(loss.detach()), count) == (pytest.approx(float(plain.detach())), same)
