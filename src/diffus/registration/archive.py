"""Tensors in one ``.npz`` with a header that says what they are; no pickle, so that reading runs no code."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffus.files import write_aside

_HEADER = "header"


def write_archive(
    path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Path:
    """Write tensors and a header, aside first and then moved into place.

    Args:
        path: ``.npz`` file.
        header: plain values; ``format`` and ``version`` say what the file is.
        tensors: by name.

    Raises:
        ValueError: for another extension or a place that cannot be written.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise ValueError(f"{target.name}: tensors are saved as .npz, got {target.suffix!r}")
    content: dict[str, Any] = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    with write_aside(target) as temporary:
        np.savez_compressed(
            temporary, allow_pickle=False, **{_HEADER: np.array(json.dumps(dict(header)))}, **content
        )
    return target


def read_archive(
    path: str | os.PathLike[str], file_format: str, version: int, what: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `write_archive` wrote.

    Args:
        path: the file.
        file_format: that the header must name.
        version: the newest that is understood.
        what: the file's role in words, for messages.

    Returns:
        Header, and tensors by name.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, of another format or of a newer version.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"{what} file not found: {source}")
    try:
        with np.load(source, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
        header = json.loads(str(content.pop(_HEADER)))
        tensors = {name: torch.from_numpy(values) for name, values in content.items()}
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} is not a {what} file (.npz as diffus writes it): {error}") from error
    if header.get("format") != file_format or header.get("version", 0) > version:
        raise ValueError(
            f"{source} is not a {what} file: expected {file_format!r} up to version {version}, "
            f"got {header.get('format')!r} version {header.get('version')!r}"
        )
    return header, tensors
