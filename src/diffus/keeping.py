"""Tables that follow from a probe alone, kept from frame to frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

Table = TypeVar("Table")
KEPT = 32
"""Tables of each kind that are kept."""


def kept(make: Callable[..., Table]) -> Callable[..., Table]:
    """Keep what a function of a probe returns for as long as the same arguments come back.

    Nothing is kept where a field of the probe or an argument is a tensor, through which a gradient may flow.
    The tables are shared: nobody may write to them.

    Args:
        make: called with a probe and further hashable arguments. What it returns must depend on them alone.
    """

    @lru_cache(maxsize=KEPT)
    def remembered(*arguments: Any) -> Table:
        with torch.inference_mode(False), torch.no_grad():  # a table may outlive the mode it was made in
            return make(*arguments)

    @wraps(make)
    def found(probe: Any, *arguments: Any) -> Table:
        if any(isinstance(value, Tensor) for value in (*vars(probe).values(), *arguments)):
            return make(probe, *arguments)
        return remembered(probe, *arguments)

    return found
