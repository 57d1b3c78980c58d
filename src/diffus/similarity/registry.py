"""Measures by name, for settings and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from diffus.checks import require_one_of
from diffus.similarity.gradient_ncc import GradientNCC
from diffus.similarity.lc2 import LC2
from diffus.similarity.local_ncc import LocalNCC
from diffus.similarity.measure import Similarity
from diffus.similarity.mind import MIND
from diffus.similarity.mutual_information import MutualInformation
from diffus.similarity.ncc import NCC

SIMILARITIES: dict[str, Callable[..., Similarity]] = {
    "ncc": NCC,
    "local_ncc": LocalNCC,
    "gradient_ncc": GradientNCC,
    "mutual_information": MutualInformation,
    "lc2": LC2,
    "mind": MIND,
}
"""Frozen dataclasses of options by the name of their measure; an instance is the measure."""


def similarity(name: str, **options: Any) -> Similarity:
    """A measure with its options chosen.

    Args:
        name: one of `SIMILARITIES`.
        **options: fields of that dataclass.

    Returns:
        a callable ``(moving, fixed, mask=None)`` that gives one score for each item of the batch.

    Raises:
        ValueError: for a name or an option that is not known.
    """
    require_one_of("similarity", name, SIMILARITIES)
    kind = SIMILARITIES[name]
    known = [field.name for field in fields(kind)]  # pyright: ignore[reportArgumentType]
    for option in options:
        if not known:
            raise ValueError(f"similarity {name!r} has no options, got {option!r}")
        require_one_of(f"option of similarity {name!r}", option, known)
    return kind(**options)
