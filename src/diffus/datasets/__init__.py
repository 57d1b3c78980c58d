"""Data to start from without any download, and readers of paired MRI and ultrasound.

`remind2reg`, `resect` and `paired` open datasets, `simulate` makes one; each is imported when asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from diffus.datasets.example import example_brain

if TYPE_CHECKING:
    from diffus.datasets import paired, remind2reg, resect, simulate

__all__ = ["example_brain", "paired", "remind2reg", "resect", "simulate"]

_ON_DEMAND = {"paired", "remind2reg", "resect", "simulate"}
"""Readers whose own imports (SimpleITK) take time that not every script needs."""


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return importlib.import_module(f"diffus.datasets.{name}")
    raise AttributeError(f"module 'diffus.datasets' has no attribute {name!r}")
