"""What every block of a chip's file is made of: strict fields, with their provenance."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = ["Block", "MoreThan0", "Share", "Strict"]


def _more_than_0(value: float) -> float:
    if not value > 0:
        raise ValueError(f"must be more than 0, not {value:g}")
    return value


MoreThan0 = Annotated[float, AfterValidator(_more_than_0)]
Share = Annotated[float, Field(gt=0, le=1)]


class Strict(BaseModel):
    """No unknown keys, no words for numbers, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


class Block(Strict):
    """A block of numbers with its provenance."""

    source: str | None = Field(None, description="where the numbers of this block come from: document, table, measurement")
    assumed: str | None = Field(None, description="why numbers of this block are assumed instead")

    @model_validator(mode="after")
    def _says_where_from(self) -> Any:
        if not self.source and not self.assumed:
            raise ValueError("must say where its numbers come from, with `source:` or `assumed:`")
        return self
