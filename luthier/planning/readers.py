"""Encoder-decoders and encoders: config.json -> Shape, for T5 1.0 and 1.1, BART, BERT, RoBERTa and DistilBERT.

An encoder is planned as the classifier that luthier makes of it: the body, its pooler where the head reads it, and a
head for the labels.
"""

from __future__ import annotations

from luthier.planning.config import Config
from luthier.planning.shape import Attention, Block, Layer, Role, Shape, Stack

BART_OFFSET = 2  # rows of position embeddings that BART leaves in front


# ------------------------------------------------------------------------------------------------------------ T5


def _t5(config: Config) -> Shape:
    """T5: relative positions, RMS norms, no biases; version 1.1 has a gated feed-forward network."""
    width, heads = config.size("d_model"), config.size("num_heads")
    head_width, inner = config.size("d_kv"), config.size("d_ff")
    gated, activation = _t5_activation(str(config.get("feed_forward_proj", "relu")))
    read, written = config.size("num_layers"), config.size("num_decoder_layers", config.size("num_layers"))
    buckets = config.size("relative_attention_num_buckets", 32)

    def attention(path: str, first: bool) -> list[Layer]:
        outputs = heads * head_width
        bias = [Layer(f"{path}.relative_attention_bias", "embedding", buckets, heads)] if first else []
        return [
            Layer(f"{path}.q", "linear", width, outputs, role="query"),
            Layer(f"{path}.k", "linear", width, outputs, role="key"),
            Layer(f"{path}.v", "linear", width, outputs, role="value"),
            Layer(f"{path}.o", "linear", outputs, width, role="attended"),
            *bias,
        ]

    def block(stack: str, number: int) -> Block:
        path, decodes = f"{stack}.block.{number}", stack == "decoder"
        layers = [*attention(f"{path}.layer.0.SelfAttention", number == 0)]
        layers.append(Layer(f"{path}.layer.0.layer_norm", "norm", 0, width))
        if decodes:
            layers += attention(f"{path}.layer.1.EncDecAttention", False)
            layers.append(Layer(f"{path}.layer.1.layer_norm", "norm", 0, width))
        feed = f"{path}.layer.{1 + decodes}"
        if gated:
            layers.append(Layer(f"{feed}.DenseReluDense.wi_0", "linear", width, inner, role="gate"))
            layers.append(Layer(f"{feed}.DenseReluDense.wi_1", "linear", width, inner, role="up"))
        else:
            layers.append(Layer(f"{feed}.DenseReluDense.wi", "linear", width, inner, role="up"))
        layers.append(Layer(f"{feed}.DenseReluDense.wo", "linear", inner, width, role="down"))
        layers.append(Layer(f"{feed}.layer_norm", "norm", 0, width))
        own = Attention(heads, heads, head_width, causal=decodes, positions="bias")
        cross = Attention(heads, heads, head_width, cross=True, causal=False, positions="bias")
        kind: Stack = "decoder" if decodes else "encoder"
        return Block(path, kind, tuple(layers), (own, cross) if decodes else (own,), inner, gated, activation)

    blocks = [block("encoder", number) for number in range(read)] + [block("decoder", n) for n in range(written)]
    owner = "shared" if config.is_tied(True, "shared", whatever=True) else None
    return Shape(
        name=config.name,
        model_type=config.model_type,
        family="encoder-decoder",
        width=width,
        vocabulary=config.size("vocab_size"),
        window=config.size_or_none("n_positions"),
        blocks=tuple(blocks),
        outside=(
            Layer("shared", "embedding", config.size("vocab_size"), width),
            Layer("encoder.final_layer_norm", "norm", 0, width),
            Layer("decoder.final_layer_norm", "norm", 0, width),
            Layer("lm_head", "linear", width, config.size("vocab_size"), tied_to=owner),
        ),
        embedding="shared",
        output="lm_head",
        rms_norms=True,
        dropout=config.share("dropout_rate", 0.1),
        attention_dropout=config.share("dropout_rate", 0.1),
        wide_linear=("wo",),
    )


def _t5_activation(feed_forward: str) -> tuple[bool, str]:
    """(whether it is gated, the activation's name): 'gated-gelu' means the gelu that is written in Python."""
    gated = feed_forward.startswith("gated-")
    return gated, "gelu_new" if feed_forward == "gated-gelu" else feed_forward.removeprefix("gated-")


# ---------------------------------------------------------------------------------------------------------- BART


def _bart(config: Config) -> Shape:
    """BART: learned positions, layer norms behind each sub-layer, biases everywhere."""
    width, vocabulary = config.size("d_model"), config.size("vocab_size")
    positions = config.size("max_position_embeddings", 1024) + BART_OFFSET
    blocks = []
    for stack in ("encoder", "decoder"):
        heads, inner = config.size(f"{stack}_attention_heads"), config.size(f"{stack}_ffn_dim")
        own = Attention(heads, heads, config.head_width(width, heads), causal=stack == "decoder", positions="learned")
        cross = Attention(heads, heads, config.head_width(width, heads), cross=True, causal=False, positions="learned")
        for number in range(config.size(f"{stack}_layers")):
            path = f"model.{stack}.layers.{number}"
            attends = ("self_attn", "encoder_attn") if stack == "decoder" else ("self_attn",)
            layers = [layer for name in attends for layer in _bart_attention(path, name, width)]
            layers += [
                Layer(f"{path}.fc1", "linear", width, inner, True, "up"),
                Layer(f"{path}.fc2", "linear", inner, width, True, "down"),
                Layer(f"{path}.final_layer_norm", "norm", 0, width, True),
            ]
            attentions = (own, cross) if stack == "decoder" else (own,)
            kind: Stack = "decoder" if stack == "decoder" else "encoder"
            activation = str(config.get("activation_function", "gelu"))
            blocks.append(Block(path, kind, tuple(layers), attentions, inner, gated=False, activation=activation))
    apart = not config.flag("tie_word_embeddings", True)  # then each stack has embeddings of its own
    ends = [
        layer
        for stack in ("encoder", "decoder")
        for layer in (
            *((Layer(f"model.{stack}.embed_tokens", "embedding", vocabulary, width),) if apart else ()),
            Layer(f"model.{stack}.embed_positions", "embedding", positions, width),
            Layer(f"model.{stack}.layernorm_embedding", "norm", 0, width, True),
            *((Layer(f"model.{stack}.layer_norm", "norm", 0, width, True),) if config.model_type == "mbart" else ()),
        )
    ]
    owner = "model.shared" if config.is_tied(True, "model.shared") else None
    return Shape(
        name=config.name,
        model_type=config.model_type,
        family="encoder-decoder",
        width=width,
        vocabulary=vocabulary,
        window=config.size("max_position_embeddings", 1024),
        blocks=tuple(blocks),
        outside=(
            Layer("model.shared", "embedding", vocabulary, width),
            *ends,
            Layer("lm_head", "linear", width, vocabulary, tied_to=owner),
        ),
        embedding="model.shared",
        output="lm_head",
        rms_norms=False,
        dropout=config.share("dropout", 0.1),
        attention_dropout=config.share("attention_dropout", 0.0),
    )


def _bart_attention(path: str, name: str, width: int) -> list[Layer]:
    at = f"{path}.{name}"
    return [
        Layer(f"{at}.k_proj", "linear", width, width, True, "key"),
        Layer(f"{at}.v_proj", "linear", width, width, True, "value"),
        Layer(f"{at}.q_proj", "linear", width, width, True, "query"),
        Layer(f"{at}.out_proj", "linear", width, width, True, "attended"),
        Layer(f"{at}_layer_norm", "norm", 0, width, True),
    ]


# ---------------------------------------------------------------------------------------------------------- BERT


def _bert(config: Config, labels: int) -> Shape:
    """BERT and RoBERTa with a head for `labels` classes. BERT's head reads its pooler, unless it reads the mean."""
    width, heads = config.size("hidden_size"), config.size("num_attention_heads")
    inner, body = config.size("intermediate_size"), config.model_type
    blocks = []
    for number in range(config.size("num_hidden_layers")):
        path = f"{body}.encoder.layer.{number}"
        layers = (
            *(Layer(f"{path}.attention.self.{role}", "linear", width, width, True, role) for role in _ROLES),
            Layer(f"{path}.attention.output.dense", "linear", width, width, True, "attended"),
            Layer(f"{path}.attention.output.LayerNorm", "norm", 0, width, True),
            Layer(f"{path}.intermediate.dense", "linear", width, inner, True, "up"),
            Layer(f"{path}.output.dense", "linear", inner, width, True, "down"),
            Layer(f"{path}.output.LayerNorm", "norm", 0, width, True),
        )
        attention = Attention(heads, heads, config.head_width(width, heads), causal=False, positions="learned")
        activation = str(config.get("hidden_act", "gelu"))
        blocks.append(Block(path, "encoder", layers, (attention,), inner, gated=False, activation=activation))
    at = f"{body}.embeddings"
    outside = [
        Layer(f"{at}.word_embeddings", "embedding", config.size("vocab_size"), width),
        Layer(f"{at}.position_embeddings", "embedding", config.size("max_position_embeddings", 512), width),
        Layer(f"{at}.token_type_embeddings", "embedding", config.size("type_vocab_size", 2), width),
        Layer(f"{at}.LayerNorm", "norm", 0, width, True),
    ]
    if body == "bert":
        if not config.pools_mean:
            outside.append(Layer("bert.pooler.dense", "linear", width, width, True))
        outside.append(Layer("classifier", "linear", width, labels, True))
    else:
        outside.append(Layer("classifier.dense", "linear", width, width, True))
        outside.append(Layer("classifier.out_proj", "linear", width, labels, True))
    # A body's file without a pooler, as a masked language model's, gives the head a new one.
    pooler = body == "bert" and not config.pools_mean and _lacks(config, "pooler.dense.weight")
    head = ("classifier", "bert.pooler") if pooler else ("classifier",)
    return _encoder(config, width, blocks, outside, f"{at}.word_embeddings", head)


_ROLES: tuple[Role, ...] = ("query", "key", "value")


def _distilbert(config: Config, labels: int) -> Shape:
    """DistilBERT: BERT without token types and pooler, with a head of two layers."""
    width, heads, inner = config.size("dim", 768), config.size("n_heads", 12), config.size("hidden_dim", 3072)
    blocks = []
    for number in range(config.size("n_layers", 6)):
        path = f"distilbert.transformer.layer.{number}"
        at = f"{path}.attention"
        layers = (
            Layer(f"{at}.q_lin", "linear", width, width, True, "query"),
            Layer(f"{at}.k_lin", "linear", width, width, True, "key"),
            Layer(f"{at}.v_lin", "linear", width, width, True, "value"),
            Layer(f"{at}.out_lin", "linear", width, width, True, "attended"),
            Layer(f"{path}.sa_layer_norm", "norm", 0, width, True),
            Layer(f"{path}.ffn.lin1", "linear", width, inner, True, "up"),
            Layer(f"{path}.ffn.lin2", "linear", inner, width, True, "down"),
            Layer(f"{path}.output_layer_norm", "norm", 0, width, True),
        )
        attention = Attention(heads, heads, config.head_width(width, heads), causal=False, positions="learned")
        activation = str(config.get("activation", "gelu"))
        blocks.append(Block(path, "encoder", layers, (attention,), inner, gated=False, activation=activation))
    at = "distilbert.embeddings"
    outside = [
        Layer(f"{at}.word_embeddings", "embedding", config.size("vocab_size", 30522), width),
        Layer(f"{at}.position_embeddings", "embedding", config.size("max_position_embeddings", 512), width),
        Layer(f"{at}.LayerNorm", "norm", 0, width, True),
        Layer("pre_classifier", "linear", width, width, True),
        Layer("classifier", "linear", width, labels, True),
    ]
    return _encoder(config, width, blocks, outside, f"{at}.word_embeddings", ("pre_classifier", "classifier"))


def _lacks(config: Config, name: str) -> bool:
    """Whether the stored tensors lack one whose name ends with `name`; without stored tensors nothing is lacking."""
    return bool(config.stored) and not any(stored.endswith(name) for stored in config.stored)


def _encoder(
    config: Config, width: int, blocks: list[Block], outside: list[Layer], embedding: str, head: tuple[str, ...]
) -> Shape:
    return Shape(
        name=config.name,
        model_type=config.model_type,
        family="encoder",
        width=width,
        vocabulary=next(layer.inputs for layer in outside if layer.path == embedding),
        window=config.size("max_position_embeddings", 512),
        blocks=tuple(blocks),
        outside=tuple(outside),
        embedding=embedding,
        output=None,
        rms_norms=False,
        dropout=config.share("hidden_dropout_prob", config.share("dropout", 0.1)),
        attention_dropout=config.share("attention_probs_dropout_prob", config.share("attention_dropout", 0.1)),
        head=head,
    )


ENCODER_DECODERS = {"t5": _t5, "bart": _bart, "mbart": _bart}
ENCODERS = {"bert": _bert, "roberta": _bert, "distilbert": _distilbert}
