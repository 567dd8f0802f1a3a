"""The base of every document on disk, and an estimate in it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from triggerfish.types import Estimate


class Part(BaseModel):
    """Base of everything on disk: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")


class Document(Part):
    """Base of a document that stands in a file of its own."""

    schema_version: Literal[1] = 1


class Number(Part):
    """An `Estimate` on disk; `percent` says how to read it."""

    value: float
    low: float
    high: float
    n: int = Field(ge=1)
    method: str = "wilson"
    percent: bool = True

    @classmethod
    def of(cls, estimate: Estimate, *, percent: bool = True) -> Self:
        """The document of an estimate."""
        return cls(**estimate.to_json(), percent=percent)

    def estimate(self) -> Estimate:
        """The estimate of this document."""
        return Estimate(**self.model_dump(exclude={"percent"}))

    def text(self) -> str:
        """Value, interval and n as text."""
        return self.estimate().text(self.percent)
