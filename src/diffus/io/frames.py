"""Frames to files and back."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from diffus import pose
from diffus.checks import require_one_of
from diffus.files import write_aside
from diffus.presets import probe_from_dict
from diffus.settings import RenderSettings
from diffus.volume import Volume

if TYPE_CHECKING:
    from diffus.frame import Frame

FILE_FORMAT = "diffus-frame"
FILE_VERSION = 1
SLAB_MM = 1.0
"""Thickness given to a frame that is written as a slab of voxels."""
VOXEL_EXTENSIONS = (".nii", ".nii.gz", ".nrrd", ".mha")


def save_frame(frame: Frame, path: str | os.PathLike[str], spacing_mm: float | None = None) -> Path:
    """Write a frame in the format of the extension; see `Frame.save`."""
    target = Path(path)
    writers: dict[str, Callable[[Frame, Path, float | None], Path]] = {".png": _save_png, ".npz": _save_npz}
    writers |= dict.fromkeys(VOXEL_EXTENSIONS, _save_voxels)
    extension = next(
        (e for e in sorted(writers, key=len, reverse=True) if target.name.endswith(e)), target.suffix
    )
    require_one_of("extension of a frame file", extension, writers)
    if len(frame) != 1 and extension != ".npz":
        raise ValueError(
            f"{target.name} holds one image, this frame has {len(frame)}: save frame[0], or as .npz"
        )
    return writers[extension](frame.detach(), target, spacing_mm)


def frame_volume(frame: Frame, spacing_mm: float | None = None) -> Volume:
    """The one image of a frame as a slab of voxels (column, row, 0) in its place in the world."""
    grid = frame.grid(spacing_mm)
    image = frame.detach().cartesian(spacing_mm)[0]
    return Volume(image.T[..., None].contiguous().float(), frame.world_from_pixel(grid, SLAB_MM)[0])


def load_frame(path: str | os.PathLike[str]) -> Frame:
    """Read a frame that was written as NPZ; see `Frame.load`."""
    from diffus.frame import Frame

    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"frame file not found: {source}")
    try:
        with np.load(source, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
        header = json.loads(str(content["header"]))
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} is not a frame file (.npz as Frame.save writes it): {error}") from error
    if header.get("format") != FILE_FORMAT or header.get("version", 0) > FILE_VERSION:
        raise ValueError(
            f"{source}: expected {FILE_FORMAT!r} up to version {FILE_VERSION}, "
            f"got {header.get('format')!r} version {header.get('version')!r}"
        )
    return Frame(
        torch.from_numpy(content["scanlines"]),
        torch.from_numpy(content["envelope"]),
        probe_from_dict(header["probe"]),
        pose.from_matrix(content["world_from_probe"]),
        RenderSettings(**{name: _number(value) for name, value in header["settings"].items()}),
    )


def _number(value: Any) -> Any:
    return torch.tensor(value) if isinstance(value, list) else value


def _save_png(frame: Frame, target: Path, spacing_mm: float | None) -> Path:
    from diffus.plot import bmode, save_figure

    return save_figure(bmode(frame, spacing_mm=spacing_mm).figure, target)


def _save_voxels(frame: Frame, target: Path, spacing_mm: float | None) -> Path:
    return frame_volume(frame, spacing_mm).save(target)


def _save_npz(frame: Frame, target: Path, spacing_mm: float | None) -> Path:
    header = {
        "format": FILE_FORMAT,
        "version": FILE_VERSION,
        "frame": "RAS+",
        "unit": "mm",
        "probe": frame.probe.to_dict(),
        "settings": frame.settings.to_dict(),
    }
    content = {
        "header": np.array(json.dumps(header)),
        "scanlines": frame.scanlines.numpy(),
        "envelope": frame.envelope.numpy(),
        "world_from_probe": frame.world_from_probe.numpy(),
    }
    grid = frame.grid(spacing_mm)
    content["cartesian"] = frame.cartesian(spacing_mm).numpy()
    content["mask"] = frame.mask(spacing_mm).numpy()
    content["world_from_pixel"] = frame.world_from_pixel(grid, SLAB_MM).numpy()
    with write_aside(target) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **content)
    return target
