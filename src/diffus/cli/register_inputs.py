"""What ``diffus register`` is given: one frame, a tracked sweep or a swept volume, told apart by file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from diffus.cli.register_image import Imaged, frame_of_picture, frame_of_slab
from diffus.cli.register_sequence import frames_of_sequence
from diffus.frame import Frame
from diffus.io.sequences import is_sequence, read_sequence
from diffus.io.volumes import ITK, MGH, NIFTI, extension_of
from diffus.presets import load_probe
from diffus.probe import Probe
from diffus.scalars import number
from diffus.volume import Volume

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".dicom")
VOLUMES = (*NIFTI, *MGH, *ITK)
SAVED = ".npz"


@dataclass(frozen=True, kw_only=True)
class HowMade:
    """How an image was made, which most files do not say.

    Args:
        probe: preset or JSON file.
        spacing_mm: side of a pixel.
        frequency_mhz: centre frequency of a probe that is found in the image.
        calibration: from the pixels of a tracked sequence to the probe's sensor.
    """

    probe: str | None = None
    spacing_mm: float | None = None
    frequency_mhz: float = 6.0
    calibration: Path | None = None

    def known_probe(self) -> Probe | None:
        """The probe, if one was named."""
        return None if self.probe is None else load_probe(self.probe)


class OneFrame(NamedTuple):
    """One image; ``has_pose`` says whether its pose means anything."""

    frame: Frame
    has_pose: bool
    mask: Bool[Tensor, "S N"] | None


class Sweep(NamedTuple):
    """Images of one probe, each with its pose in a world of the tracker's."""

    frames: Frame
    mask: Bool[Tensor, "S N"] | None


class SweptVolume(NamedTuple):
    """A 3D ultrasound volume."""

    volume: Volume


Ultrasound = OneFrame | Sweep | SweptVolume


def read_ultrasound(paths: Sequence[Path], made: HowMade) -> Ultrasound:
    """Read the ultrasound, of the kind that the files are.

    One ``.npz`` is a frame or, with several images, a sweep; several of them, or a folder of them, are a
    sweep. A picture is a frame; a tracked sequence is a sweep; a 3D file is a frame when it has one slice,
    else a volume.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for another kind of file, or options that do not go with it.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"no such ultrasound: {path}")
    if len(paths) == 1 and paths[0].is_dir():
        paths = sorted(paths[0].glob(f"*{SAVED}")) or paths
    if all(extension_of(path) == SAVED for path in paths):
        _refuse(made, "a saved frame, which carries its own", "probe", "spacing_mm", "calibration")
        return _saved(paths)
    if len(paths) > 1:
        raise ValueError(
            f"got {len(paths)} files, {paths[0].name} and others: several files are a sweep of frames saved "
            f"as {SAVED}; give one file, or those"
        )
    return _one_file(paths[0], made)


def in_words(ultrasound: Ultrasound) -> str:
    """What was read, for people."""
    if isinstance(ultrasound, SweptVolume):
        return f"a swept volume: {ultrasound.volume!r}"
    frames = ultrasound[0]
    probe = f"{frames.probe.kind} probe, {number(frames.probe.depth_mm):.0f} mm deep"
    if isinstance(ultrasound, Sweep):
        return f"a sweep of {len(frames)} tracked frames of a {probe}"
    place = "with a pose" if ultrasound.has_pose else "without a pose"
    return f"one frame of a {probe}, {place}"


def _saved(paths: Sequence[Path]) -> OneFrame | Sweep:
    frames = [Frame.load(path) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        if frame.probe.to_dict() != frames[0].probe.to_dict():
            raise ValueError(
                f"{path.name} was made with another probe than {paths[0].name}: a sweep has one probe"
            )
    if len(frames) == 1 and len(frames[0]) == 1:
        return OneFrame(frames[0], True, None)
    together = [
        torch.cat([getattr(frame, name) for frame in frames])
        for name in ("scanlines", "envelope", "world_from_probe")
    ]
    whole = Frame(together[0], together[1], frames[0].probe, together[2], frames[0].settings)
    return Sweep(whole, None)


def _one_file(path: Path, made: HowMade) -> Ultrasound:
    extension = extension_of(path)
    if extension in PICTURES:
        _refuse(made, "a picture", "calibration")
        found = frame_of_picture(path, made.known_probe(), made.spacing_mm, made.frequency_mhz)
        return OneFrame(found.frame, False, found.mask)
    if not path.is_dir() and extension not in VOLUMES:
        raise ValueError(
            f"{path}: unknown kind of ultrasound {extension!r}, expected a frame ({SAVED}, "
            f"{', '.join(PICTURES)}), a sweep (a tracked .mha, or a folder of {SAVED}) or a volume "
            f"({', '.join(VOLUMES)})"
        )
    if extension in (".mha", ".mhd") and is_sequence(path):
        _refuse(made, "a tracked sequence, whose calibration gives it", "spacing_mm")
        sequence = read_sequence(path, made.calibration)
        return _of_sequence(frames_of_sequence(path, sequence, made.known_probe(), made.frequency_mhz))
    volume = Volume.load(path)
    if volume.shape[2] == 1:
        _refuse(made, "an image in its place", "spacing_mm", "calibration")
        found = frame_of_slab(path, volume, made.known_probe(), made.frequency_mhz)
        return OneFrame(found.frame, True, found.mask)
    _refuse(made, "a volume, whose sector is found in it", "probe", "spacing_mm", "calibration")
    return SweptVolume(volume)


def _of_sequence(found: Imaged) -> OneFrame | Sweep:
    if len(found.frame) == 1:
        return OneFrame(found.frame, True, found.mask)
    return Sweep(found.frame, found.mask)


def _refuse(made: HowMade, what: str, *names: str) -> None:
    """Refuse options that would be passed over in silence."""
    for name in names:
        if getattr(made, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} does not go with {what}: leave it out")
