"""How the command line reads numbers that the API also takes as tensors."""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

import tyro
from torch import Tensor

REGISTRY = tyro.constructors.ConstructorRegistry()
"""Rules for tyro; active inside ``with REGISTRY:``."""


@REGISTRY.primitive_rule
def _number(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Read ``float | Tensor`` as a float, and ``float | Tensor | None`` as a float or the word None.

    ``tuple[float, ...] | Tensor | None`` is any number of floats, or the word None.
    """
    if get_origin(info.type) not in (Union, types.UnionType) or Tensor not in get_args(info.type):
        return None
    optional = type(None) in get_args(info.type)
    if any(get_origin(option) is tuple for option in get_args(info.type)):
        return _curve()
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT|None" if optional else "FLOAT",
        instance_from_str=lambda words: None if optional and words[0] == "None" else float(words[0]),
        is_instance=lambda value: isinstance(value, int | float | Tensor) or (optional and value is None),
        str_from_instance=lambda value: [str(value)],
    )


def _curve() -> tyro.constructors.PrimitiveConstructorSpec[Any]:
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="FLOAT ...|None",
        instance_from_str=lambda words: None if words == ["None"] else tuple(float(word) for word in words),
        is_instance=lambda value: value is None or isinstance(value, tuple | Tensor),
        str_from_instance=lambda value: ["None"] if value is None else [str(knot) for knot in value],
    )
