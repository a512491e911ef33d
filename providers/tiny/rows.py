"""The batch's tables: numpy columns, so that a step is a handful of array operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from providers.tiny.sampling import Float64, UInt64
from providers.tiny.weights import Int64

Bool = NDArray[np.bool_]
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Rows:
    """The batch's rows, as columns of equal length."""

    job: Int64
    slot: Int64
    token: Int64
    """The last token, whose successor is sampled next."""
    position: Int64
    """Where that token stands."""
    generated: Int64
    limit: Int64
    temperature: Float64
    top_p: Float64
    watched: Bool
    """Whether stop strings, log-probabilities or streaming need a look at every token."""
    history: UInt8
    """Generated tokens, (rows, context)."""

    def __len__(self) -> int:
        return len(self.job)

    def at(self, index: Int64) -> Rows:
        return Rows(*(getattr(self, name)[index] for name in self.__slots__))

    def text_tokens(self, index: int) -> tuple[int, ...]:
        """The tokens that row `index` has generated."""
        return tuple(self.history[index, : self.generated[index]].tolist())

    def joined(self, others: Rows) -> Rows:
        pairs = ((getattr(self, name), getattr(others, name)) for name in self.__slots__)
        return Rows(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True, slots=True)
class Members:
    """The batch's choices, as columns of equal length."""

    row: Int64
    choice: Int64
    stream: UInt64
    """The state of each choice's random numbers."""
