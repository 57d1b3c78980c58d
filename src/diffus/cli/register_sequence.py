"""The images of a tracked sequence on the scanlines of the probe that made them."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.cli.register_image import Imaged, ProbeInImage
from diffus.io.sequences import Sequence
from diffus.probe import Probe


def frames_of_sequence(path: Path, sequence: Sequence, probe: Probe | None, frequency_mhz: float) -> Imaged:
    """The images of a sequence on the probe's scanlines, posed in the frame of the reference.

    Args:
        path: that it was read from, for messages.
        sequence: what was read.
        probe: whose field of view the images are cropped to; found in them by default.
        frequency_mhz: of a probe that is found.

    Raises:
        ValueError: for a calibration whose pixels are not square, or images that do not fit the probe.
    """
    columns = sequence.reference_from_image[:, :3, 0]
    rows = sequence.reference_from_image[:, :3, 1]
    across, down = float(columns.norm(dim=1).mean()), float(rows.norm(dim=1).mean())
    skew = float((columns * rows).sum(dim=1).abs().max()) / max(across * down, 1e-12)
    if not (0 < across < 10 and 0 < down < 10) or skew > 0.05:
        raise ValueError(
            f"{path.name}: the calibration takes a pixel to {across:.3g} x {down:.3g} mm at a cosine of "
            f"{skew:.2g}, expected millimetres and a right angle: check --calibration"
        )
    spacing, shape = (down, across), (sequence.images.shape[1], sequence.images.shape[2])
    placed = (
        ProbeInImage.found_in(sequence.images.amax(dim=0), spacing, frequency_mhz)
        if probe is None
        else ProbeInImage.filling(probe, shape, spacing, path.name)
    )
    poses = [
        placed.pose_in(matrix[:3, 3], matrix[:3, 0] / matrix[:3, 0].norm(), _upright(matrix))
        for matrix in sequence.reference_from_image
    ]
    return placed.frame(sequence.images, torch.stack(poses))


def _upright(matrix: Float64[Tensor, "4 4"]) -> Float64[Tensor, "3"]:
    """Unit vector down the rows, at a right angle to the columns' direction."""
    right = matrix[:3, 0] / matrix[:3, 0].norm()
    down = matrix[:3, 1] - (matrix[:3, 1] @ right) * right
    return down / down.norm()
