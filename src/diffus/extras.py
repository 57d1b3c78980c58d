"""Optional dependencies, imported through one door that names the extra to install."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: what to import (``"nilearn"``).
        extra: the extra of this package that brings it (``"demo"``).
        purpose: what it is needed for, to complete "... is needed for".

    Raises:
        ValueError: when the module is missing, naming the command that installs it.
    """
    if importlib.util.find_spec(module) is None:
        raise ValueError(
            f"{module} is needed for {purpose} and is not installed: pip install 'diffus[{extra}]'"
        )
    return importlib.import_module(module)
