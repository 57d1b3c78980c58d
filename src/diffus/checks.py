"""Checks at the door: every refusal names what was given, what was expected and how to mend it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from diffus.scalars import number as plain_number


def require_positive(owner: str, **values: Any) -> None:
    """Refuse values that are not finite and greater than zero.

    Args:
        owner: what the values belong to, as the user knows it (``"ConvexProbe"``).
        **values: numbers or 0-d tensors by name.

    Raises:
        ValueError: for the first value that is zero, negative, NaN or infinite.
    """
    for name, value in values.items():
        number = _number(owner, name, value)
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"{owner}: {name} must be a finite number above 0, got {number:g}")


def require_in_range(owner: str, low: float, high: float, **values: Any) -> None:
    """Refuse values outside the closed interval [low, high], NaN included.

    Raises:
        ValueError: for the first value outside the interval.
    """
    for name, value in values.items():
        number = _number(owner, name, value)
        if not low <= number <= high:
            raise ValueError(f"{owner}: {name} must lie in [{low:g}, {high:g}], got {number:g}")


def _number(owner: str, name: str, value: Any) -> float:
    try:
        return plain_number(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{owner}: {name} must be a number, got {value!r}") from error


def require_one_of(name: str, value: Any, known: Iterable[Any]) -> None:
    """Refuse an option that is not among the known ones, and list those.

    Raises:
        ValueError: when ``value`` is not in ``known``.
    """
    options = list(known)
    if value not in options:
        raise ValueError(f"unknown {name} {value!r}: expected one of {', '.join(map(repr, options))}")


def require_shape(name: str, shape: Iterable[int], expected: str, fits: bool) -> None:
    """Refuse a shape that does not fit, printing both.

    Args:
        name: the argument's name.
        shape: the shape that was given.
        expected: the shape in words, for the message (``"(4, 4) or (B, 4, 4)"``).
        fits: whether it fits.

    Raises:
        ValueError: when ``fits`` is false.
    """
    if not fits:
        raise ValueError(f"{name}: expected shape {expected}, got {tuple(shape)}")
