"""Keeping a notebook's display from failing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Shown = TypeVar("Shown")
LOG = logging.getLogger(__name__)


def never_raising(otherwise: Callable[[Exception], Shown]) -> Callable[..., Callable[..., Shown]]:
    """Make a function that only describes give something else instead of an error.

    A description is asked for by debuggers, by error messages and by the last line of a cell, where an error
    would hide the one that matters.

    Args:
        otherwise: makes what is given instead from the error, which is logged for debugging.
    """

    def decorated(describe: Callable[..., Shown]) -> Callable[..., Shown]:
        @wraps(describe)
        def safe(*arguments: Any) -> Shown:
            try:
                return describe(*arguments)
            except Exception as error:
                LOG.debug("%s failed", describe.__name__, exc_info=True)
                return otherwise(error)

        return safe

    return decorated
