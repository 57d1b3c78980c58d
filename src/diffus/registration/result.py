"""RegistrationResult: the pose that was found, how it was found, and how far it is to be believed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.pose import from_matrix
from diffus.registration.archive import read_archive, write_archive
from diffus.registration.motion import displacement_mm
from diffus.registration.uncertainty import in_mm, worst_direction
from diffus.registration.verdict import VERDICTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from diffus.frame import Frame
    from diffus.medium import Medium

FILE_FORMAT = "diffus-registration"
FILE_VERSION = 1
_TENSORS = (
    "world_from_sweep",
    "world_from_probe",
    "initial",
    "covariance",
    "pivot",
    "points",
    "starts",
    "ends",
    "scores",
    "trajectory",
    "trajectory_scores",
)
_WORDS = ("verdict", "reason", "score", "attainable", "rendered", "cells", "seed")


@dataclass(frozen=True, eq=False, kw_only=True)
class RegistrationResult:
    """What a registration of one frame or a sweep found.

    Args:
        world_from_sweep: the best pose of the sweep; of one frame, its ``world_from_probe``.
        world_from_probe: pose of every frame, (F, 4, 4).
        initial: where it was looked for.
        covariance: of the tangent about the pivot, degrees then mm, in the frame of the sweep
            (`motion.moved`).
        pivot: shift from the sweep's origin to the middle of what is seen.
        points: of what is seen, in the frame of the sweep.
        starts: where the descents began.
        ends: where each ended, or was when it was given up.
        scores: correlation of each there, in the last stage that it reached.
        trajectory: poses on the way of the best.
        trajectory_scores: correlation at each, in its own stage; NaN before the first step.
        verdict: ``converged``, ``ambiguous`` or ``out_of_view``.
        reason: why, in words.
        score: correlation of both images at the best pose, in the last stage.
        attainable: correlation there if the medium were right and only speckle told the images apart.
        rendered: frames that were rendered.
        cells: their scanlines times samples, added up.
        seed: of the search.
    """

    world_from_sweep: Float64[Tensor, "4 4"]
    world_from_probe: Float64[Tensor, "F 4 4"]
    initial: Float64[Tensor, "4 4"]
    covariance: Float64[Tensor, "6 6"]
    pivot: Float64[Tensor, "4 4"]
    points: Float64[Tensor, "P 3"]
    starts: Float64[Tensor, "K 4 4"]
    ends: Float64[Tensor, "K 4 4"]
    scores: Float64[Tensor, " K"]
    trajectory: Float64[Tensor, "T 4 4"]
    trajectory_scores: Float64[Tensor, " T"]
    verdict: str
    reason: str
    score: float
    attainable: float
    rendered: int
    cells: int
    seed: int

    @property
    def converged(self) -> bool:
        """Whether the pose is to be believed."""
        return self.verdict == "converged"

    @property
    def sigma_deg(self) -> Float64[Tensor, "3"]:
        """Standard deviation of the turn about each axis of the probe frame."""
        return self.covariance.diagonal()[:3].sqrt()

    @property
    def sigma_mm(self) -> Float64[Tensor, "3"]:
        """Standard deviation of the shift along each axis of the probe frame, of the sector's middle."""
        return self.covariance.diagonal()[3:].sqrt()

    @property
    def arm_mm(self) -> float:
        """Root mean square distance of what is seen from the pivot."""
        away = self.points - self.pivot[:3, 3]
        return float((away**2).sum(dim=1).mean().sqrt())

    @property
    def worst_sigma_mm(self) -> float:
        """Standard deviation of the direction that the image determines worst."""
        return float(torch.linalg.eigvalsh(in_mm(self.covariance, self.arm_mm))[-1].clamp_min(0).sqrt())

    @property
    def worst_direction(self) -> str:
        """That direction in words, with its standard deviation."""
        return worst_direction(self.covariance, self.arm_mm, self.world_from_sweep)

    def displacement_mm(self, world_from_sweep: Float64[Tensor, "4 4"]) -> float:
        """Mean distance between where this result and another pose put the points of the sector."""
        return float(displacement_mm(self.world_from_sweep, world_from_sweep, self.points))

    def summary(self) -> str:
        """A few lines for people."""
        turn, shift = self.sigma_deg.tolist(), self.sigma_mm.tolist()
        return "\n".join(
            [
                f"verdict: {self.verdict} ({self.reason})",
                f"correlation: {self.score:.3f}, {self.attainable:.3f} if only speckle told the images apart",
                f"moved from the initial pose by {self.displacement_mm(self.initial):.2f} mm on average",
                f"standard deviation: {shift[0]:.2f}, {shift[1]:.2f}, {shift[2]:.2f} mm and "
                f"{turn[0]:.2f}, {turn[1]:.2f}, {turn[2]:.2f} deg (lateral, elevation, axial)",
                f"determined worst: {self.worst_direction}",
                f"descents: {len(self.starts)}, frames rendered: {self.rendered}",
            ]
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything as ``.npz``, without pickle.

        Raises:
            ValueError: for another extension or a place that cannot be written.
        """
        header = {"format": FILE_FORMAT, "version": FILE_VERSION, "frame": "RAS+", "unit": "mm"}
        header |= {name: getattr(self, name) for name in _WORDS}
        return write_archive(path, header, {name: getattr(self, name) for name in _TENSORS})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RegistrationResult:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it is not a registration, or of a newer version.
        """
        header, tensors = read_archive(path, FILE_FORMAT, FILE_VERSION, "registration")
        try:
            values = {name: tensors[name] for name in _TENSORS}
            words = {name: header[name] for name in _WORDS}
        except KeyError as error:
            raise ValueError(f"{path} is not a registration file: it lacks {error}") from error
        if words["verdict"] not in VERDICTS:
            raise ValueError(f"{path}: unknown verdict {words['verdict']!r}, expected one of {VERDICTS}")
        from_matrix(values["world_from_sweep"])
        return cls(**values, **words)

    def figure(self, frame: Frame, medium: Medium, which: int = 0) -> Figure:
        """Before and after: the frame, both renderings, checkerboard and overlay; see `pictures`."""
        from diffus.registration.pictures import before_and_after

        return before_and_after(self, frame, medium, which)

    def __repr__(self) -> str:
        from diffus.reprs.facts import paragraph, registration_facts

        return paragraph(self, registration_facts(self))

    def _repr_html_(self) -> str:
        from diffus.reprs.pages import registration_page

        return registration_page(self)

    def _repr_png_(self) -> bytes | None:
        from diffus.reprs.pictures import registration_picture

        return registration_picture(self)
