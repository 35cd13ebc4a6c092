"""How an answer is decoded: the settings of the generator. No torch."""

from __future__ import annotations

from pydantic import Field, field_validator

from luthier.settings import Settings

COLDEST = 0.01  # logits divided by less may be no numbers any more


class Generation(Settings):
    """How an answer is decoded. Temperature 0 takes the most likely token (greedy)."""

    max_new_tokens: int | None = Field(None, ge=1, le=8192, description="most tokens of an answer; None: chosen on dev")
    temperature: float = Field(0.0, ge=0.0, le=10.0, description="0 is greedy; above it logits are divided by it")
    top_k: int = Field(0, ge=0, le=2**31 - 1, description="sample among the k most likely tokens; 0: all")
    top_p: float = Field(
        1.0, gt=0.0, le=1.0, description="sample among the fewest tokens that hold this much probability"
    )
    repetition_penalty: float = Field(
        1.0, ge=0.1, le=10.0, description="above 1, tokens that are in the text already get less likely; 1: as they are"
    )

    @field_validator("temperature")
    @classmethod
    def _can_divide(cls, temperature: float) -> float:
        if 0 < temperature < COLDEST:
            raise ValueError(
                f"temperature {temperature} is too close to 0; give 0, which is greedy, or {COLDEST} or more"
            )
        return temperature


GREEDY = Generation()
