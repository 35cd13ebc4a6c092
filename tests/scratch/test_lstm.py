"""The LSTM reads packed documents as it reads them alone, goes on from its state, and writes through the generator."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from luthier.decoding.generate import generate
from luthier.decoding.requests import Request
from luthier.model.model import Model
from luthier.scratch.lstm import LSTM, LSTMState, lstm_width
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

V = 50


def made(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return (LSTM(V, 24, 2) if kind == "lstm" else Transformer(Shape(vocabulary=V, width=32, layers=2))).eval()


def test_packed_documents_read_as_they_do_alone() -> None:
    model = made("lstm")
    first, second = torch.randint(0, V, (1, 9)), torch.randint(0, V, (1, 6))
    ids = torch.cat([torch.cat([first, second], 1), torch.cat([second, first], 1)])
    documents = torch.tensor([[0] * 9 + [1] * 6, [-1] * 3 + [0] * 3 + [1] * 9])
    with torch.no_grad():
        together = model(ids, documents)
        torch.testing.assert_close(together[0], torch.cat([model(first), model(second)], 1)[0])
        torch.testing.assert_close(together[1, 3:], torch.cat([model(second[:, 3:]), model(first)], 1)[0])


def test_a_state_goes_on_where_the_text_ended() -> None:
    model, ids = made("lstm"), torch.randint(0, V, (3, 10))
    state = LSTMState()
    with torch.no_grad():
        parts = [model(ids[:, :4], torch.zeros(3, 4, dtype=torch.long), cache=state), model(ids[:, 4:9], cache=state)]
        whole = model(ids)
        torch.testing.assert_close(torch.cat(parts, 1), whole[:, :9])
        state.select(torch.tensor([2, 0]))
        torch.testing.assert_close(model(ids[[2, 0], 9:], cache=state)[:, 0], whole[[2, 0], 9])


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_the_generator_writes_what_one_reading_after_the_other_says(kind: str) -> None:
    module = made(kind)
    model = Model("m", module, SimpleNamespace(), "decoder", 64, "", frozenset({0}), Path())
    prompts = [(3, 4, 5), (7,), (9, 8, 7, 6, 5, 4)]
    events = list(generate(model, [Request(str(n), prompt, 8) for n, prompt in enumerate(prompts)]))
    for number, prompt in enumerate(prompts):
        written = [event.token for event in events if event.id == str(number)]
        ids = list(prompt)
        for token in written:
            with torch.no_grad():
                assert int(module(torch.tensor([ids]))[0, -1].argmax()) == token
            ids.append(token)
        assert len(written) == 8 or written[-1] == 0


@pytest.mark.parametrize("parameters", [50_000, 400_000, 3_000_000])
def test_a_width_for_as_many_parameters(parameters: int) -> None:
    model = LSTM(1024, lstm_width(parameters, 1024, 2), 2)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=0.12)
