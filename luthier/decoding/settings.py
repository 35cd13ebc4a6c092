"""How an answer is decoded: the settings of the generator. No torch."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from luthier.settings import Settings

COLDEST = 0.01  # logits divided by less may be no numbers any more


MOST_ROWS = 64  # sequences that one answer may be chosen from
ONE_BY_ONE: Final = "one by one"
Agreement = Literal["rouge1", "rouge2", "rougeL", "rouge", "chrf"]


class Generation(Settings):
    """How an answer is decoded. Temperature 0 takes the most likely token (greedy).

    With `beams` the answer is the best that a search finds (beam.py); with `samples` it is the one of several drawn
    answers that agrees most with the others (consensus.py).
    """

    max_new_tokens: int | None = Field(None, ge=1, le=8192, description="most tokens of an answer; None: chosen on dev")
    temperature: float = Field(0.0, ge=0.0, le=10.0, description="0 is greedy; above it logits are divided by it")
    top_k: int = Field(0, ge=0, le=2**31 - 1, description="sample among the k most likely tokens; 0: all")
    top_p: float = Field(
        1.0, gt=0.0, le=1.0, description="sample among the fewest tokens that hold this much probability"
    )
    repetition_penalty: float = Field(
        1.0, ge=0.1, le=10.0, description="above 1, tokens that are in the text already get less likely; 1: as they are"
    )

    no_repeat_ngram_size: int = Field(
        0, ge=0, le=64, description="no run of so many tokens may stand twice, a decoder's prompt included; 0: any may"
    )
    beams: int = Field(1, ge=1, le=MOST_ROWS, description="beam search over so many continuations; 1: none")
    length_penalty: float = Field(
        1.0, ge=-10.0, le=10.0, description="of beams: log-probability is divided by length to this power"
    )
    early_stopping: bool | Literal["never"] = Field(
        False,
        description="of beams: true stops at as many finished answers as beams, never when none can become better; "
        "false judges by the length so far",
    )
    samples: int = Field(
        1, ge=1, le=MOST_ROWS, description="draws so many answers and takes the one that agrees most with the others"
    )
    agreement: Agreement = Field("rouge", description="of samples: by which metric answers agree; rouge: mean of three")

    @property
    def way(self) -> Literal["one by one", "search", "consensus"]:
        """How the answer comes about: token by token, by a search, or by the consensus of samples."""
        return "search" if self.beams > 1 else "consensus" if self.samples > 1 else ONE_BY_ONE

    @property
    def rows(self) -> int:
        """Sequences that are written for one answer."""
        return self.beams * self.samples

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.beams > 1 and self.temperature > 0:
            raise ValueError(
                f"beams is {self.beams} and temperature {self.temperature}; a search draws nothing, so give one of them"
            )
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"samples is {self.samples} and temperature 0, with which all are the same; give a temperature"
            )
        return self

    @field_validator("temperature")
    @classmethod
    def _can_divide(cls, temperature: float) -> float:
        if 0 < temperature < COLDEST:
            raise ValueError(
                f"temperature {temperature} is too close to 0; give 0, which is greedy, or {COLDEST} or more"
            )
        return temperature


GREEDY = Generation()
