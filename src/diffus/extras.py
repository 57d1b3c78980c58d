"""Optional dependencies, imported through one door that names the extra to install."""

from __future__ import annotations

import importlib
import importlib.util
from importlib.machinery import ModuleSpec
from types import ModuleType


def require_extra(module: str, extra: str, purpose: str) -> ModuleSpec:
    """Find an optional module without importing it.

    Args:
        module: what is needed (``"nilearn"``).
        extra: the extra of this package that brings it (``"demo"``).
        purpose: what it is needed for, to complete "... is needed for".

    Raises:
        ValueError: when the module is missing, naming the command that installs it.
    """
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise ValueError(
            f"{module} is needed for {purpose} and is not installed: pip install 'diffus[{extra}]', or in a "
            f"clone of the repository pip install -c constraints.txt -e '.[{extra}]'"
        )
    return spec


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional module; arguments and refusal are those of `require_extra`."""
    require_extra(module, extra, purpose)
    return importlib.import_module(module)
