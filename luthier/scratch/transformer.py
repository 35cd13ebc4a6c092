"""One transformer, to be read from top to bottom: decoder, encoder, encoder-decoder, and every choice in shape.py.

    B rows            D width of the residual stream     V vocabulary
    T tokens          H heads of queries                 F inner width of the MLP
    S tokens read     G heads of keys and values         K width of a head

    ids_BT --embedding--> x_BTD --blocks--> x_BTD --norm, head--> logits_BTV
    block:  x + attention(norm(x)), in a decoder with an encoder x + cross(norm(x), encoded), then x + mlp(norm(x))

A row may hold several documents. `documents_BT` numbers them from 0, and -1 is padding: a token sees only tokens of its
own document, and positions count from the document's first token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luthier.model.attention import causal_attention
from luthier.scratch import fused
from luthier.scratch.cached import CachedDecoding
from luthier.scratch.fused import HeadNorm, RMSNorm
from luthier.scratch.shape import Shape

HIDDEN = torch.finfo(torch.float32).min / 2  # a score that softmax makes 0; infinity would make NaN of an empty row


@dataclass
class Cache:
    """What a decoder has read: its tokens' documents, and the keys and values of each attention layer by its name."""

    documents_BS: Tensor | None = None
    plain: bool = True  # every row is one document without padding so far
    encoded: tuple[Tensor, Tensor] | None = None  # of the source, once: hidden states (B, S, D), documents (B, S)
    layers: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)  # (B, G, S, K) each

    def select(self, rows: Tensor) -> None:
        """Keeps some rows, in this order."""
        if self.documents_BS is not None:
            self.documents_BS = self.documents_BS[rows]
        if self.encoded is not None:
            self.encoded = (self.encoded[0][rows], self.encoded[1][rows])
        self.layers = {name: (keys[rows], values[rows]) for name, (keys, values) in self.layers.items()}


class Transformer(nn.Module):
    """A model of one shape, with random weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.position = nn.Embedding(shape.window, shape.width) if shape.positions == "learned" else None
        self.segment = nn.Embedding(shape.segments, shape.width) if shape.segments else None
        self.embedding_norm = norm_of(shape) if shape.embedding_norm else None
        self.encoder = Stack(shape, "encoder") if shape.family != "decoder" else None
        self.decoder = Stack(shape, "decoder") if shape.family != "encoder" else None
        self.dense = nn.Linear(shape.width, shape.width) if shape.head == "masked" else None
        self.dense_norm = norm_of(shape) if shape.head == "masked" else None
        self.head = None if shape.tied or shape.head == "none" else nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.head_bias = nn.Parameter(torch.zeros(shape.vocabulary)) if shape.head == "masked" else None
        self.apply(self._begin)
        if shape.zero_outputs:
            for name, parameter in self.named_parameters():
                if name.endswith(("output.weight", "down.weight")):
                    nn.init.zeros_(parameter)

    @staticmethod
    def _begin(module: nn.Module) -> None:
        """A matrix begins normal with fan_in^-.5, so that sizes stay as they are; an embedding with .02 (GPT-2)."""
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def forward(
        self,
        ids_BT: Tensor,
        documents_BT: Tensor | None = None,
        *,
        source_BS: Tensor | None = None,
        source_documents_BS: Tensor | None = None,
        prefix_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        wanted_BT: Tensor | None = None,
        cache: Cache | None = None,
        maps: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Logits (B, T, V), or (n, V) at the n positions where `wanted_BT` is true; hidden states if there is no head.

        An encoder-decoder reads `source_BS`. `prefix_BT` marks the tokens of a decoder that see one another both ways.
        With a `cache` the ids go on where the last call ended; the source is then given once. `maps` is filled with the
        attention (B, H, T, S) of every layer by its name.
        """
        encoded = cache.encoded if cache is not None else None
        if self.encoder is not None and encoded is None:
            source, documents = (ids_BT, documents_BT) if self.decoder is None else (source_BS, source_documents_BS)
            assert source is not None, "an encoder-decoder needs source_BS"
            plain = documents is None
            documents = torch.zeros_like(source) if documents is None else documents
            x_BSD = self._embed(source, positions_in(documents), segments_BT)
            encoded = self.encoder(x_BSD, documents, documents, plain=plain, maps=maps), documents
            if cache is not None:
                cache.encoded = encoded
        if self.decoder is None:
            assert encoded is not None
            x_BTD = encoded[0]
        else:
            new_BT = torch.zeros_like(ids_BT) if documents_BT is None else documents_BT
            old_BS = None if cache is None else cache.documents_BS
            all_BS = new_BT if old_BS is None else torch.cat([old_BS, new_BT], 1)
            if cache is not None:
                cache.documents_BS = all_BS
            x_BTD = self._embed(ids_BT, positions_in(all_BS)[:, -ids_BT.shape[1] :], segments_BT)
            plain = documents_BT is None and prefix_BT is None
            if cache is not None:
                cache.plain = cache.plain and plain
                plain = cache.plain and (old_BS is None or ids_BT.shape[1] == 1)
            more = {"plain": plain, "encoded": encoded, "prefix_BT": prefix_BT, "cache": cache, "maps": maps}
            x_BTD = self.decoder(x_BTD, new_BT, all_BS, **more)
        return self.logits(x_BTD if wanted_BT is None else x_BTD[wanted_BT])

    def decoding(self, prompts: list[tuple[int, ...]]) -> CachedDecoding:
        """For the generator (decoding/generate.py)."""
        return CachedDecoding(self, prompts, Cache())

    def _embed(self, ids_BT: Tensor, positions_BT: Tensor, segments_BT: Tensor | None) -> Tensor:
        x_BTD = self.embedding(ids_BT)
        if self.position is not None:
            x_BTD = x_BTD + self.position(positions_BT)
        if self.shape.positions == "sinusoidal":
            x_BTD = x_BTD + sinusoids(positions_BT, self.shape.width).to(x_BTD)
        if self.segment is not None:
            x_BTD = x_BTD + self.segment(torch.zeros_like(ids_BT) if segments_BT is None else segments_BT)
        return x_BTD if self.embedding_norm is None else self.embedding_norm(x_BTD)

    def logits(self, x: Tensor) -> Tensor:
        """(..., V) of hidden states (..., D); the hidden states where there is no head."""
        if self.shape.head == "none":
            return x
        if self.dense is not None and self.dense_norm is not None:
            x = self.dense_norm(F.gelu(self.dense(x)))
        if self.shape.scaled_head:
            x = x * self.shape.width**-0.5
        return F.linear(x, self.embedding.weight if self.head is None else self.head.weight, self.head_bias)


class Stack(nn.Module):
    """The blocks of an encoder or a decoder, and what they share: who sees whom, and where tokens stand."""

    def __init__(self, shape: Shape, kind: str) -> None:
        super().__init__()
        self.shape, self.kind = shape, kind
        crosses = kind == "decoder" and shape.family == "encoder-decoder"
        self.blocks = nn.ModuleList(Block(shape, f"{kind}.{n}", crosses) for n in range(shape.layers))
        self.buckets = nn.Embedding(BUCKETS, shape.heads) if shape.positions == "buckets" else None
        self.norm = norm_of(shape) if shape.norm_place == "pre" else nn.Identity()

    def forward(
        self,
        x_BTD: Tensor,
        documents_BT: Tensor,
        all_BS: Tensor,
        *,
        plain: bool = False,
        encoded: tuple[Tensor, Tensor] | None = None,
        prefix_BT: Tensor | None = None,
        cache: Cache | None = None,
        maps: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Hidden states (B, T, D) behind the last norm. `plain`: every row is one document and its prefix is empty, so
        that the fast kernels need no mask."""
        reads_BS = positions_in(all_BS)
        at_BT = reads_BS[:, -x_BTD.shape[1] :]
        turn = rotations(at_BT, self.shape) if self.shape.positions == "rotary" else None
        scores = None
        if not (plain and maps is None and self.shape.positions not in ("alibi", "buckets")):
            scores = (self._bias(at_BT, reads_BS) + self._mask(documents_BT, all_BS, prefix_BT)).to(x_BTD)
        # Nothing later is seen, and nothing that moves is added to the scores: attention may go by blocks.
        causal = self.kind == "decoder" and all(one is None for one in (prefix_BT, cache, maps, self.buckets))
        cross = None
        if encoded is not None:
            cross = HIDDEN * (documents_BT[:, None, :, None] != encoded[1][:, None, None, :]).float()
        for block in self.blocks:
            x_BTD = block(x_BTD, scores, turn, encoded, cross, cache, maps, causal)
        return self.norm(x_BTD)

    def _mask(self, documents_BT: Tensor, all_BS: Tensor, prefix_BT: Tensor | None) -> Tensor:
        """(B, 1, T, S): HIDDEN for another document's tokens and, in a decoder, for later ones outside the prefix."""
        shown_BTS = documents_BT[:, :, None] == all_BS[:, None, :]
        if self.kind == "decoder":
            T, S = shown_BTS.shape[1:]
            earlier_TS = torch.ones(T, S, dtype=torch.bool, device=all_BS.device).tril(S - T)
            both = earlier_TS if prefix_BT is None else earlier_TS | (prefix_BT[:, :, None] & prefix_BT[:, None, :])
            shown_BTS = shown_BTS & both
        return HIDDEN * (~shown_BTS[:, None]).float()

    def _bias(self, at_BT: Tensor, reads_BS: Tensor) -> Tensor:
        """(B, H, T, S), or (1, 1, 1, 1) where positions do not enter the scores."""
        if self.shape.positions not in ("alibi", "buckets"):
            return torch.zeros(1, 1, 1, 1, device=at_BT.device)
        distance_BTS = reads_BS[:, None, :] - at_BT[:, :, None]
        if self.buckets is not None:
            bucket_BTS = bucket_of(distance_BTS, both_ways=self.kind == "encoder")
            bias: Tensor = self.buckets(bucket_BTS).permute(0, 3, 1, 2)
            return bias
        return -slopes(self.shape.heads, at_BT.device)[:, None, None] * distance_BTS.abs()[:, None].float()


class Block(nn.Module):
    """Attention, in a decoder with an encoder attention to it, and an MLP; each is added to the residual stream."""

    def __init__(self, shape: Shape, name: str, crosses: bool) -> None:
        super().__init__()
        self.pre = shape.norm_place == "pre"
        self.attention, self.attention_norm = Attention(shape, name), norm_of(shape)
        self.cross = Attention(shape, f"{name}.cross") if crosses else None
        self.cross_norm = norm_of(shape) if crosses else None
        self.mlp, self.mlp_norm = MLP(shape), norm_of(shape)

    def forward(
        self,
        x_BTD: Tensor,
        scores: Tensor | None,
        turn: tuple[Tensor, Tensor] | None,
        encoded: tuple[Tensor, Tensor] | None,
        cross: Tensor | None,
        cache: Cache | None,
        maps: dict[str, Tensor] | None,
        causal: bool,
    ) -> Tensor:
        y = self.attention_norm(x_BTD) if self.pre else x_BTD
        x_BTD = x_BTD + self.attention(y, y, scores, turn, cache, maps, causal)
        x_BTD = x_BTD if self.pre else self.attention_norm(x_BTD)
        if self.cross is not None and self.cross_norm is not None and encoded is not None and cross is not None:
            y = self.cross_norm(x_BTD) if self.pre else x_BTD
            x_BTD = x_BTD + self.cross(y, encoded[0], cross.to(y), None, cache, maps)
            x_BTD = x_BTD if self.pre else self.cross_norm(x_BTD)
        x_BTD = x_BTD + self.mlp(self.mlp_norm(x_BTD) if self.pre else x_BTD)
        return x_BTD if self.pre else self.mlp_norm(x_BTD)


class Attention(nn.Module):
    """softmax(Q K' / sqrt(K) + scores) V over H heads; G of keys and values serve H / G of queries each."""

    def __init__(self, shape: Shape, name: str) -> None:
        super().__init__()
        self.shape, self.name = shape, name
        H, G, K = shape.heads, shape.keys, shape.head_size
        self.query = nn.Linear(shape.width, H * K, bias=shape.bias)
        self.key = nn.Linear(shape.width, G * K, bias=shape.bias)
        self.value = nn.Linear(shape.width, G * K, bias=shape.bias)
        self.output = nn.Linear(H * K, shape.width, bias=shape.bias)
        self.query_norm = HeadNorm(K, eps=shape.epsilon) if shape.qk_norm else nn.Identity()
        self.key_norm = HeadNorm(K, eps=shape.epsilon) if shape.qk_norm else nn.Identity()
        self.scale = K**-0.5 if shape.scaled_attention else 1.0
        self.looks_back = name.startswith("decoder") and not name.endswith("cross")

    def forward(
        self,
        x_BTD: Tensor,
        source_BSD: Tensor,
        scores: Tensor | None,
        turn: tuple[Tensor, Tensor] | None,
        cache: Cache | None,
        maps: dict[str, Tensor] | None,
        causal: bool = False,
    ) -> Tensor:
        q_BHTK = normed_and_turned(self._heads(self.query(x_BTD)), self.query_norm, turn)
        k_BGSK, v_BGSK = self._read(x_BTD, source_BSD, turn, cache)
        if causal:
            mixed = causal_attention(q_BHTK, k_BGSK, v_BGSK, self.scale, scores)
        else:
            mixed = self._mixed(q_BHTK, k_BGSK, v_BGSK, scores, maps)
        y: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return y

    def _mixed(
        self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, scores: Tensor | None, maps: dict[str, Tensor] | None
    ) -> Tensor:
        """What each query takes from the values; the attention itself goes into `maps`."""
        shared = self.shape.heads // self.shape.keys
        k_BHSK, v_BHSK = (one.repeat_interleave(shared, 1) if shared > 1 else one for one in (k_BGSK, v_BGSK))
        if scores is None or maps is None:
            causal = scores is None and self.looks_back and q_BHTK.shape[2] > 1
            return F.scaled_dot_product_attention(q_BHTK, k_BHSK, v_BHSK, scores, is_causal=causal, scale=self.scale)
        maps[self.name] = (q_BHTK @ k_BHSK.transpose(-1, -2) * self.scale + scores).softmax(-1)
        return maps[self.name] @ v_BHSK

    def _read(
        self, x_BTD: Tensor, source_BSD: Tensor, turn: tuple[Tensor, Tensor] | None, cache: Cache | None
    ) -> tuple[Tensor, Tensor]:
        """Keys and values: of the source, or of the cached tokens and the new ones behind them."""
        is_cross = source_BSD is not x_BTD
        if cache is not None and is_cross and self.name in cache.layers:
            return cache.layers[self.name]
        k_BGSK = normed_and_turned(self._heads(self.key(source_BSD)), self.key_norm, turn)
        v_BGSK = self._heads(self.value(source_BSD))
        if cache is not None and not is_cross and self.name in cache.layers:
            old_k, old_v = cache.layers[self.name]
            k_BGSK, v_BGSK = torch.cat([old_k, k_BGSK], 2), torch.cat([old_v, v_BGSK], 2)
        if cache is not None and (is_cross or not self.name.startswith("encoder")):
            cache.layers[self.name] = (k_BGSK, v_BGSK)
        return k_BGSK, v_BGSK

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.shape.head_size)).transpose(1, 2)


def normed_and_turned(x_BHTK: Tensor, norm: nn.Module, turn: tuple[Tensor, Tensor] | None) -> Tensor:
    """Queries or keys as they meet: normed where the shape asks for it, and turned where positions are rotary."""
    if isinstance(norm, HeadNorm) and turn is not None and torch.is_grad_enabled():
        return fused.normed_and_turned(x_BHTK, norm.weight, float(norm.eps or 0), *turn)
    x_BHTK = norm(x_BHTK)
    return x_BHTK if turn is None else turned(x_BHTK, turn)


class MLP(nn.Module):
    """down(act(up x)), or down(act(gate x) * up x)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.activation = shape.activation
        self.up = nn.Linear(shape.width, shape.inner_width, bias=shape.bias)
        self.gate = nn.Linear(shape.width, shape.inner_width, bias=shape.bias) if shape.gated else None
        self.down = nn.Linear(shape.inner_width, shape.width, bias=shape.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTF: Tensor = self.up(x_BTD)
        if self.gate is not None:
            g_BTF = self.gate(x_BTD)
            y_BTF = y_BTF * (F.silu(g_BTF) if self.activation == "swiglu" else F.gelu(g_BTF, approximate="tanh"))
        elif self.activation.startswith("gelu"):
            y_BTF = F.gelu(y_BTF, approximate="tanh" if self.activation == "gelu-tanh" else "none")
        else:
            y_BTF = F.relu(y_BTF) if self.activation == "relu" else fused.squared_relu(y_BTF)
        y: Tensor = self.down(y_BTF)
        return y


def norm_of(shape: Shape) -> nn.Module:
    kind = RMSNorm if shape.norm == "rms" else nn.LayerNorm
    return kind(shape.width, eps=shape.epsilon)


# -------------------------------------------------------------------------------------------------------- positions

BUCKETS, FARTHEST = 32, 128  # T5's


def positions_in(documents_BS: Tensor) -> Tensor:
    """(B, S): how many tokens of its own document stand before each token; documents lie in one piece."""
    index_S = torch.arange(documents_BS.shape[1], device=documents_BS.device)
    begins_BS = F.pad(documents_BS[:, 1:] != documents_BS[:, :-1], (1, 0), value=True)
    return index_S - torch.where(begins_BS, index_S, 0).cummax(1).values


def sinusoids(positions_BT: Tensor, width: int) -> Tensor:
    """(B, T, D): sines, then cosines, of wave lengths from 2 pi to 20,000 pi (Vaswani et al. 2017, section 3.5)."""
    half = (width + 1) // 2
    angle = positions_BT[..., None].float() * 10_000.0 ** (-torch.arange(half, device=positions_BT.device) / half)
    return torch.cat([angle.sin(), angle.cos()], -1)[..., :width]


def rotations(positions_BT: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines (B, 1, T, K / 2) of each position's turn (Su et al. 2021, section 3.2.2)."""
    half = torch.arange(shape.head_size // 2, device=positions_BT.device, dtype=torch.float32)
    angle = positions_BT[:, None, :, None].float() * shape.rotary_base ** (-2 * half / shape.head_size)
    return angle.cos(), angle.sin()


def turned(x_BHTK: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Each pair (k, k + K / 2) of a head turned in its plane."""
    cos, sin = (one.to(x_BHTK) for one in turn)
    left, right = x_BHTK.chunk(2, -1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


def slopes(heads: int, device: torch.device) -> Tensor:
    """(H,): 2^(-8 h / H); for H that is no power of two, those of the next lower, then every second of its double."""
    lower = 2 ** math.floor(math.log2(heads))
    exact = [2 ** (-8 * (h + 1) / lower) for h in range(lower)]
    between = [2 ** (-4 * (2 * h + 1) / lower) for h in range(heads - lower)]
    return torch.tensor(exact + between, device=device)


def bucket_of(distance: Tensor, both_ways: bool) -> Tensor:
    """T5's bucket of a distance (read - reader): exact when near, then by the log up to FARTHEST."""
    count = BUCKETS // 2 if both_ways else BUCKETS
    ahead = count * (distance > 0).long() if both_ways else torch.zeros_like(distance)
    far = distance.abs() if both_ways else (-distance).clamp(min=0)
    near = count // 2
    steps = (far.float() / near).clamp(min=1).log() / math.log(FARTHEST / near) * (count - near)
    return ahead + torch.where(far < near, far, (near + steps.long()).clamp(max=count - 1))
