"""What a method moves in a shape, and what it adds: exactly the parameters that training will find.

Each method's formula is that of its paper, applied to the layers that the method chooses by name. The settings are
those of the method's own drawer in adapt/; nothing here is a default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from luthier.errors import SettingsError
from luthier.planning.shape import Layer, Shape, called

# Endings of the names of the layers that produce a sub-layer's output, in the known architectures.
ATTENTION_OUTPUTS = (
    "self_attn.o_proj", "self_attn.out_proj", "encoder_attn.out_proj", "attn.c_proj", "attn.out_proj",
    "SelfAttention.o", "EncDecAttention.o", "attention.dense", "self_attention.dense", "self_attn.dense",
)  # fmt: skip
FEED_FORWARD_OUTPUTS = (
    "mlp.down_proj", "mlp.c_proj", "DenseReluDense.wo", "fc2", "mlp.dense_4h_to_h", "feed_forward.w2",
)  # fmt: skip
# (layers whose outputs (IA)^3 scales, layers whose inputs it scales) by type of model, as in peft's table.
IA3_PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "llama": (("k_proj", "v_proj"), ("down_proj",)),
    "mistral": (("k_proj", "v_proj"), ("down_proj",)),
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text", "qwen2", "qwen3"), (("q_proj", "v_proj"), ("down_proj",))),
    "phi": (("q_proj", "v_proj"), ("fc2",)),
    "bart": (("q_proj", "v_proj"), ("fc2",)),
    "gpt2": (("c_attn",), ("mlp.c_proj",)),
    "gpt_neox": (("query_key_value",), ("dense_4h_to_h",)),
    "t5": (("k", "v"), ("wo",)),
    "bert": (("key", "value"), ("output.dense",)),
    "roberta": (("key", "value"), ("output.dense",)),
}


@dataclass(frozen=True)
class Addition:
    """Parameters that a method adds beside a layer, or in front of the model. `inner` is the rank or the width."""

    path: str
    kind: str  # 'lora', 'dora', 'scale', 'scaled input', 'bottleneck', 'prompt', 'network', 'prefix', 'tokens', 'head'
    trainable: int
    frozen: int = 0
    inner: int = 0

    @property
    def placeless(self) -> tuple[str, int, int, int]:
        """The addition as it would be anywhere."""
        return self.kind, self.trainable, self.frozen, self.inner


@dataclass(frozen=True)
class Moving:
    """What trains: the model's own weights and biases by the path of their layer, and what is added.

    `virtual` is the number of learned positions in front of the input, `prefix` that of learned keys and values.
    `width` is the width of a narrow base.
    """

    weights: frozenset[str] = frozenset()
    biases: frozenset[str] = frozenset()
    additions: tuple[Addition, ...] = ()
    virtual: int = 0
    prefix: int = 0
    width: str | None = None
    fuses: bool = True  # whether luthier gives the module its fused layers (training/fused.py)

    @property
    def trains(self) -> bool:
        return bool(self.weights or self.biases or self.additions)

    def own(self, shape: Shape) -> int:
        """Trainable parameters of the model itself."""
        moves = self.weights or self.biases
        return sum(self.own_of(layer) for layer in shape.layers) if moves else 0

    def own_of(self, layer: Layer) -> int:
        weight = layer.weights if layer.path in self.weights and not layer.tied_to else 0
        return weight + (layer.biases if layer.path in self.biases else 0)

    def added(self) -> int:
        return sum(addition.trainable + addition.frozen for addition in self.additions)

    def trainable(self, shape: Shape) -> int:
        return self.own(shape) + sum(addition.trainable for addition in self.additions)

    def parameters(self, shape: Shape) -> int:
        """All parameters, the model's own and the added ones."""
        return shape.parameters + self.added()

    def beside(self, path: str) -> Addition | None:
        """What is added at a layer."""
        return self._by_path.get(path)

    @cached_property
    def _by_path(self) -> dict[str, Addition]:
        return {addition.path: addition for addition in self.additions}


NOTHING = Moving()


def moving(shape: Shape, method: str, settings: Any, special_tokens: int = 0) -> Moving:
    """What `method` moves under its settings. A method that trains nothing gives NOTHING.

    `special_tokens` is the number of the tokenizer's special tokens, for the method `tokens`. Raises SettingsError
    for a part that the model lacks.
    """
    if method == "tokens":
        return _tokens(shape, settings, special_tokens)
    make = _METHODS.get(method)
    return NOTHING if make is None else make(shape, settings)


# -------------------------------------------------------------------------------------- the model's own parameters


def _full(shape: Shape, settings: Any) -> Moving:
    return _chosen(shape, shape.layers)


def _select(shape: Shape, settings: Any) -> Moving:
    """Parts by name; an encoder's new head trains as well."""
    if settings.parts == "last":
        blocks = shape.writing
        if len(blocks) < settings.layers:
            raise SettingsError(
                f"{shape.name}: has {len(blocks)} blocks, so the last {settings.layers} cannot move; name fewer"
            )
        return _chosen(shape, [layer for block in blocks[-settings.layers :] for layer in block.layers])
    if settings.parts == "biases":
        return _bitfit(shape, settings)
    if settings.parts == "norms":
        return _chosen(shape, [layer for layer in shape.layers if layer.kind == "norm"])
    return _chosen(shape, [one for name in settings.parts.split(",") for one in _inside(shape, name.strip())])


def _bitfit(shape: Shape, settings: Any) -> Moving:
    biases = frozenset(layer.path for layer in shape.layers if layer.bias)
    if not biases:
        raise SettingsError(f"{shape.name}: this model has no biases; choose select-last-2, or lora")
    head = shape.head_layers
    return Moving(frozenset(one.path for one in head), biases | {one.path for one in head})


def _head_alone(shape: Shape, settings: Any) -> Moving:
    head = frozenset(layer.path for layer in shape.head_layers)
    return Moving(head, head)


def _chosen(shape: Shape, layers: Sequence[Layer]) -> Moving:
    paths = {layer.path for layer in [*layers, *shape.head_layers]}
    # A tied weight is one parameter, which moves where it belongs.
    owners = {layer.tied_to for layer in layers if layer.tied_to}
    return Moving(frozenset(paths | owners), frozenset(paths))


def _inside(shape: Shape, name: str) -> list[Layer]:
    found = [layer for layer in shape.layers if layer.is_inside(name)]
    if not found:
        parts = sorted({layer.path.rpartition(".")[2] for layer in shape.layers})
        raise SettingsError(f"select: no module with parameters is called '{name}'; name some of {', '.join(parts)}")
    return found


# --------------------------------------------------------------------------------------------- added beside layers


def _adapted(shape: Shape, settings: Any, method: str = "lora") -> Sequence[Layer]:
    """The layers that LoRA and its variants adapt."""
    if settings.targets == "all-linear":
        return shape.linear
    return [layer for name in _names(settings.targets) for layer in _some(shape, name, method)]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _some(shape: Shape, name: str, method: str) -> list[Layer]:
    layers = [one for one in called(shape.layers, name) if one.is_linear or one.kind == "embedding"]
    if not layers:
        raise SettingsError(f"{method}: no linear layer is called '{name}'; name some of {', '.join(shape.names())}")
    return layers


def _lora(shape: Shape, settings: Any) -> Moving:
    """r (d_in + d_out) for each adapted matrix (Hu et al. 2021, section 4.1)."""
    return _low_rank(shape, settings)


def _low_rank(
    shape: Shape, settings: Any, *, lengths: bool = False, frozen: int = 0, width: str | None = None
) -> Moving:
    layers = {layer.path: layer for layer in _adapted(shape, settings)}.values()
    additions = []
    for layer in layers:
        pair = settings.rank * (layer.inputs + layer.outputs)
        kind, more = ("dora", layer.outputs) if lengths else ("lora", 0)
        additions.append(Addition(layer.path, kind, pair + more, frozen * pair, settings.rank))
    return _with_head(shape, additions, width=width)


def _dora(shape: Shape, settings: Any) -> Moving:
    """LoRA and a length for each output (Liu et al. 2024, equation 5)."""
    return _low_rank(shape, settings, lengths=True)


def _pissa(shape: Shape, settings: Any) -> Moving:
    """LoRA, with its own start beside it as a second, frozen pair."""
    return _low_rank(shape, settings, frozen=1)


def _qlora(shape: Shape, settings: Any) -> Moving:
    return _low_rank(shape, settings, width=settings.width)


def _ia3(shape: Shape, settings: Any) -> Moving:
    """A scale for each output of keys and values, and for each inner activation (Liu et al. 2022, section 3.3)."""
    if settings.outputs is None and settings.inputs is None:
        if shape.model_type not in IA3_PLACES:
            raise SettingsError(
                f"ia3: for a {shape.model_type} name the layers: ia3+outputs=k_proj,v_proj+inputs=down_proj"
            )
        outputs, inputs = IA3_PLACES[shape.model_type]
    else:
        outputs, inputs = (tuple(_names(text)) if text else () for text in (settings.outputs, settings.inputs))
    scaled: dict[str, Addition] = {}
    for name in inputs:
        scaled |= {one.path: Addition(one.path, "scaled input", one.inputs) for one in _some(shape, name, "ia3")}
    for name in outputs:
        for one in _some(shape, name, "ia3"):
            scaled.setdefault(one.path, Addition(one.path, "scale", one.outputs))
    return _with_head(shape, list(scaled.values()))


def _bottleneck(shape: Shape, settings: Any) -> Moving:
    """2 m d + d + m for each adapter of width m (Houlsby et al. 2019, section 2.1)."""
    ends = FEED_FORWARD_OUTPUTS + (ATTENTION_OUTPUTS if settings.place == "both" else ())
    m = settings.width
    additions = [
        Addition(layer.path, "bottleneck", 2 * m * layer.outputs + layer.outputs + m, inner=m)
        for layer in shape.layers
        if any(layer.is_called(end) for end in ends)
    ]
    if not additions:
        raise SettingsError(f"bottleneck: the sub-layers of {shape.name} are not known here; choose lora")
    return Moving(additions=tuple(additions), fuses=False)


def _with_head(shape: Shape, additions: list[Addition], width: str | None = None) -> Moving:
    """An encoder's head is copied by peft: the copy trains, the original stays, and no adapter stands inside it."""
    outside = [one for one in additions if not any(f".{part}." in f".{one.path}." for part in shape.head)]
    copies = [Addition(layer.path, "head", layer.parameters) for layer in shape.head_layers]
    return Moving(additions=(*outside, *copies), width=width)


# ------------------------------------------------------------------------------------------ in front of the model


def _soft(shape: Shape, settings: Any) -> Moving:
    """n d (Lester et al. 2021, section 2)."""
    prompt = Addition("prompt", "prompt", settings.tokens * shape.width)
    return Moving(additions=(prompt,), virtual=settings.tokens)


def _ptuning(shape: Shape, settings: Any) -> Moving:
    """n d for what the network reads, and the network: three layers, or an LSTM of two both ways and two layers."""
    width = shape.width
    hidden = settings.hidden or width
    if settings.network == "mlp":
        network = _linear(width, hidden) + _linear(hidden, hidden) + _linear(hidden, width)
    else:
        # Four gates read the input and the state, each with two biases (torch.nn.LSTM).
        first, second = (4 * hidden * (read + hidden + 2) for read in (width, 2 * hidden))
        network = 2 * (first + second) + _linear(2 * hidden, 2 * hidden) + _linear(2 * hidden, width)
    prompt = Addition("prompt", "network", settings.tokens * width + network, inner=hidden)
    return Moving(additions=(prompt,), virtual=settings.tokens)


def _prefix(shape: Shape, settings: Any) -> Moving:
    """n 2 L d for L layers whose keys are d wide (Li and Liang 2021, section 4), or the network that writes them."""
    n, blocks = settings.tokens, shape.writing
    if any(one.window for block in blocks for one in block.attentions):
        raise SettingsError(
            f"{shape.name}: not all of its layers keep plain keys and values, which a prefix stands among; choose soft"
        )
    attention = blocks[0].attentions[0]
    keys = attention.key_heads * attention.head_width
    if settings.hidden is None:
        count = n * 2 * len(blocks) * keys
    else:
        count = n * keys + _linear(keys, settings.hidden) + _linear(settings.hidden, 2 * len(blocks) * keys)
    return Moving(additions=(Addition("prefix", "prefix", count, inner=settings.hidden or 0),), prefix=n)


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _tokens(shape: Shape, settings: Any, special_tokens: int) -> Moving:
    """A row of the embeddings for each token."""
    named = settings.tokens
    if shape.model_type == "t5" and not shape.is_tied:  # its configuration calls them tied all the same
        raise SettingsError(
            f"tokens: {shape.name} has an output matrix of its own; choose select+parts=shared, or lora"
        )
    if named == "special" and not special_tokens:
        raise SettingsError(
            f"tokens: the special tokens of {shape.name} are not known, because its tokenizer is not on this machine; "
            "name the tokens: tokens+tokens=<s>,</s>"
        )
    count = special_tokens if named == "special" else len({token.strip() for token in named.split(",")})
    return Moving(additions=(Addition(shape.embedding, "tokens", count * shape.width, inner=count),))


_METHODS: dict[str, Callable[[Shape, Any], Moving]] = {
    "full": _full,
    "domain": _full,
    "select": _select,
    "bitfit": _bitfit,
    "head": _head_alone,
    "lora": _lora,
    "rslora": _lora,
    "lora-plus": _lora,
    "dora": _dora,
    "pissa": _pissa,
    "qlora": _qlora,
    "ia3": _ia3,
    "bottleneck": _bottleneck,
    "soft": _soft,
    "p-tuning": _ptuning,
    "prefix": _prefix,
}
