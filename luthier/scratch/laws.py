"""Scaling laws: the loss of a language model by its parameters and training tokens, and where compute is best spent.

    shapes: any that broadcast; parameters, tokens and FLOPs are counts, losses are nats a token

Training costs about 6 FLOPs for each parameter and token (Kaplan et al. 2020, section 2.1). A law says which loss a
model of N parameters reaches on D tokens. At C FLOPs the best N is where the law is lowest along 6 N D = C.

This file imports neither torch nor scipy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FLOPS_A_PARAMETER_AND_TOKEN = 6.0  # Kaplan et al. 2020, section 2.1: forward 2, backward 4
PF_DAY = 1e15 * 24 * 3600  # FLOPs; Kaplan et al.'s unit of compute


class Law(Protocol):
    """What every law can do. `counts` says which parameters its N means."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def counts(self) -> str: ...

    def loss(self, parameters: ArrayLike, tokens: ArrayLike) -> Floats: ...
    def optimum(self, flops: ArrayLike) -> tuple[Floats, Floats]: ...


def flops_of(parameters: ArrayLike, tokens: ArrayLike) -> Floats:
    """6 N D."""
    return np.asarray(FLOPS_A_PARAMETER_AND_TOKEN * np.asarray(parameters, float) * np.asarray(tokens, float))


@dataclass(frozen=True)
class AdditiveLaw:
    """L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, equation 2)."""

    e: float
    a: float
    b: float
    alpha: float
    beta: float
    name: str = "fitted"
    source: str = "these points"
    counts: str = "as in these points"

    def loss(self, parameters: ArrayLike, tokens: ArrayLike) -> Floats:
        """Nats a token."""
        n, d = np.asarray(parameters, float), np.asarray(tokens, float)
        return np.asarray(self.e + self.a / n**self.alpha + self.b / d**self.beta)

    def optimum(self, flops: ArrayLike) -> tuple[Floats, Floats]:
        """(parameters, tokens) of lowest loss at 6 N D = `flops` (Hoffmann et al. 2022, equation 4)."""
        budget = np.asarray(flops, float) / FLOPS_A_PARAMETER_AND_TOKEN
        n = self.balance * budget ** (self.beta / (self.alpha + self.beta))
        return np.asarray(n), np.asarray(budget / n)

    @property
    def balance(self) -> float:
        """G = (alpha A / beta B)^(1 / (alpha + beta))."""
        return float((self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta)))


@dataclass(frozen=True)
class KaplanLaw:
    """L(N, D) = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D (Kaplan et al. 2020, equation 1.5 and table 2).

    The optimum is the paper's own (table 6): N = N_e C^.73, with C in PF-days. The paper adjusts C to the batch size of
    least compute; here C is taken as it is.
    """

    n_c: float = 6.4e13
    d_c: float = 1.8e13
    alpha_n: float = 0.076
    alpha_d: float = 0.103
    n_e: float = 1.3e9
    exponent: float = 0.73
    name: str = "Kaplan et al. 2020"
    source: str = "Scaling Laws for Neural Language Models, arXiv 2001.08361, equation 1.5, tables 2 and 6"
    counts: str = "without embeddings"

    def loss(self, parameters: ArrayLike, tokens: ArrayLike) -> Floats:
        """Nats a token."""
        n, d = np.asarray(parameters, float), np.asarray(tokens, float)
        return np.asarray(((self.n_c / n) ** (self.alpha_n / self.alpha_d) + self.d_c / d) ** self.alpha_d)

    def optimum(self, flops: ArrayLike) -> tuple[Floats, Floats]:
        """(parameters, tokens) that the paper recommends for `flops`."""
        budget = np.asarray(flops, float)
        n = self.n_e * (budget / PF_DAY) ** self.exponent
        return np.asarray(n), np.asarray(budget / (FLOPS_A_PARAMETER_AND_TOKEN * n))


@dataclass(frozen=True)
class RepeatedDataLaw:
    """A law for data that is read more than once (Muennighoff et al. 2023, equations 5 and 6, and appendix A).

    The k-th pass over U unique tokens is worth less than the first: D tokens count as
    D' = U + U R_D (1 - exp(-(D / U - 1) / R_D)). Parameters beyond those that U tokens need, U_N, count less by the
    same formula with R_N. The losses are those of `base` at (N', D').
    """

    base: AdditiveLaw
    r_d: float
    r_n: float
    name: str = "fitted, with repeated data"
    source: str = "these points"
    counts: str = "as in these points"

    def loss(self, parameters: ArrayLike, tokens: ArrayLike, unique: ArrayLike | None = None) -> Floats:
        """Nats a token. `unique` is how many of the tokens differ; None: all."""
        n, d = np.asarray(parameters, float), np.asarray(tokens, float)
        u = d if unique is None else np.minimum(np.asarray(unique, float), d)
        return self.base.loss(*self.effective(n, d, u))

    def effective(self, n: Floats, d: Floats, u: Floats) -> tuple[Floats, Floats]:
        """(N', D'): what the parameters and tokens are worth."""
        base = self.base
        needed = (u * base.balance) ** (base.beta / base.alpha) * base.balance  # the N at which U tokens are optimal
        u_n = np.minimum(n, needed)
        return _worth(n, u_n, self.r_n), _worth(d, u, self.r_d)

    def optimum(self, flops: ArrayLike) -> tuple[Floats, Floats]:
        """That of unlimited data."""
        return self.base.optimum(flops)


def _worth(count: Floats, unique: Floats, half_life: float) -> Floats:
    repeats = np.maximum(count / unique - 1, 0)
    return np.asarray(unique + unique * half_life * -np.expm1(-repeats / half_life))


@dataclass(frozen=True)
class Published:
    """The laws that are built in."""

    HOFFMANN: ClassVar[AdditiveLaw] = AdditiveLaw(
        1.69, 406.4, 410.7, 0.34, 0.28, "Hoffmann et al. 2022",
        "Training Compute-Optimal Large Language Models, arXiv 2203.15556, equation 10", "all",
    )  # fmt: skip
    BESIROGLU: ClassVar[AdditiveLaw] = AdditiveLaw(
        1.8172, 482.01, 2085.43, 0.3478, 0.3658, "Besiroglu et al. 2024",
        "Chinchilla Scaling: A replication attempt, arXiv 2404.10102, table 1", "all",
    )  # fmt: skip
    KAPLAN: ClassVar[KaplanLaw] = KaplanLaw()
    # ln A, ln B and ln E are published, with more digits than A, B and E.
    MUENNIGHOFF: ClassVar[RepeatedDataLaw] = RepeatedDataLaw(
        AdditiveLaw(
            float(np.exp(0.6254804)), float(np.exp(6.255414)), float(np.exp(7.3049974)), 0.3526596, 0.3526596,
        ),
        15.387756, 5.309743, "Muennighoff et al. 2023",
        "Scaling Data-Constrained Language Models, arXiv 2305.16264, equations 5 to 7 and appendix A; C4", "all",
    )  # fmt: skip

    @classmethod
    def all(cls) -> tuple[Law, ...]:
        return cls.HOFFMANN, cls.KAPLAN, cls.BESIROGLU, cls.MUENNIGHOFF
