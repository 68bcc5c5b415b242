"""How far a chip's numbers can be trusted: what was known before they were fitted, and how they compare with measurements."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hwsim.blocks import Strict

__all__ = ["Evidence", "Prior", "Validation"]


class Prior(Strict):
    """What is known of a number before it is fitted, from a data sheet or an instruction count; fitting never moves it."""

    value: str | float = Field(description="as the field is printed: `0.5`, `67.2 GB/s`")
    width: Annotated[float, Field(gt=1, le=100)] = Field(1.6, description="one standard deviation, as a factor: 1.6 is 0.47 in logarithms")
    source: str = Field(description="where the value comes from")


class Evidence(Strict):
    """How one kind of figure compares with measurements."""

    figure: Literal["latency", "energy"]
    rows: int = Field(ge=1, description="measurements")
    networks: int = Field(ge=1, description="networks among them")
    mape: float = Field(ge=0, description="mean absolute error in per cent, of the rows that were fitted")
    worst: str = Field(description="the row with the largest error")
    left_out_mape: float | None = Field(
        None, ge=0, description="mean absolute error in per cent of networks left out of the fit, one by one"
    )
    rank_correlation: float | None = Field(None, ge=-1, le=1, description="Spearman's, of the left-out predictions where there are such")
    not_identifiable: list[str] = Field(
        default_factory=list, description="fitted numbers that the measurements leave at their priors, by dotted name"
    )
    conditions: str = Field(description="runtime, precision, batch and source of the measurements")

    @property
    def text(self) -> str:
        left_out = "" if self.left_out_mape is None else f", {self.left_out_mape:g} % leaving one network out"
        ranks = "" if self.rank_correlation is None else f", rank correlation {self.rank_correlation:g}"
        priors = f", not identifiable: {', '.join(self.not_identifiable)}" if self.not_identifiable else ""
        rows = f"{self.rows} measurement{'s' if self.rows > 1 else ''} of {self.networks} network{'s' if self.networks > 1 else ''}"
        return f"{self.figure} of {rows} ({self.conditions}): MAPE {self.mape:g} %{left_out}, worst {self.worst}{ranks}{priors}"


class Validation(Strict):
    """How far the chip's numbers have been held against measurements."""

    status: Literal["UNVALIDATED", "MODELLED", "FITTED"] = "UNVALIDATED"
    arithmetic: str = "not compared with the chip"
    evidence: list[Evidence] = Field(default_factory=list, description="comparisons with measurements, written by `hwsim fit`")
    note: str = ""

    @property
    def _unheld(self) -> list[str]:
        """What no measurement speaks of on a chip that was fitted to some."""
        held = {e.figure for e in self.evidence}
        return [f"{figure} UNVALIDATED" for figure in ("latency", "energy") if held and figure not in held]

    @property
    def text(self) -> str:
        """One line for headers: status, what the arithmetic equals, how far measurements agree, and any note."""
        status = "UNVALIDATED (modelled on another estimator, no chip measured)" if self.status == "MODELLED" else self.status
        parts = (*self._unheld, f"arithmetic {self.arithmetic}", *dict.fromkeys(e.text for e in self.evidence))
        return "; ".join((status, *parts, *([self.note] if self.note else [])))
