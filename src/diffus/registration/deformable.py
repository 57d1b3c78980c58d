"""Brain shift: a free-form deformation between a 3D ultrasound volume and a medium made from MRI.

After a rigid or affine transform A, points of the ultrasound go to ``A (x + u(x))``, u a cubic B-spline
(`diffus.bspline`). The medium is carried into the ultrasound's world by it and rendered there;
the score of the frames, less the bending energy, is descended over all control points.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.bspline import BSplineDisplacement, LatticeOnGrid
from diffus.checks import require_in_range
from diffus.medium import Medium
from diffus.registration.archive import read_archive, write_archive
from diffus.registration.checkpoint import step
from diffus.registration.rendered_sweep import LOCAL, RENDERING
from diffus.registration.rigid_search import GAIN
from diffus.registration.steps import Progress
from diffus.registration.virtual_sweep import VirtualSweep
from diffus.registration.warped_medium import WarpedSweep, WarpGrid
from diffus.settings import RenderSettings
from diffus.similarity import Similarity
from diffus.volume import Volume

FILE_FORMAT = "diffus-deformable-registration"
FILE_VERSION = 1

_WORDS = ("score", "initial_score", "least_volume", "scores")
_OF_SPLINE = ("coefficients", "world_from_control")
_Score = Callable[[Float64[Tensor, "I J K 3"]], Tensor]
_LEAST_VOLUME = 0.3
"""Share of its volume to which tissue may shrink before a penalty holds it."""
PLAUSIBLE_VOLUME = 0.5
"""Least share of its volume that tissue keeps in a deformation that is to be believed."""
_FOLDING = 10.0
"""Weight of that penalty."""


@dataclass(frozen=True, kw_only=True)
class DeformableSettings:
    """How a deformation is found.

    Args:
        spacings_mm: of the control points, from coarse to fine; each lattice starts from the one before.
        bending: weight of the bending energy against the score; larger is stiffer. The energy, in 1/mm^2, is
            times the square of 10 mm.
        grid_mm: spacing of the grid that the carried medium lies on.
        n_steps: of each descent, at most.
        similarity: of (B, P, S, N) frames.
        rendering: of the renderer.

    Raises:
        ValueError: for a number that cannot be.
    """

    spacings_mm: tuple[float, ...] = (20.0, 12.0)
    bending: float = 0.02
    grid_mm: float = 0.8
    n_steps: int = 30
    similarity: Similarity = LOCAL
    rendering: RenderSettings = RENDERING

    def __post_init__(self) -> None:
        if not self.spacings_mm:
            raise ValueError("DeformableSettings: spacings_mm is empty, expected one spacing in mm or more")
        spacings = {f"spacings_mm[{n}]": value for n, value in enumerate(self.spacings_mm)}
        require_in_range("DeformableSettings", 2, 1_000, **spacings)
        require_in_range("DeformableSettings", 0, 1e6, bending=self.bending)
        require_in_range("DeformableSettings", 0.1, 10, grid_mm=self.grid_mm)
        require_in_range("DeformableSettings", 1, 100_000, n_steps=self.n_steps)


@dataclass(frozen=True, eq=False)
class DeformableRegistration:
    """What a deformable registration found.

    Args:
        mri_from_ultrasound: the rigid or affine part A, (4, 4).
        displacement: u, in the world of the ultrasound.
        score: of the frames with it, without the bending energy.
        initial_score: without it.
        least_volume: smallest determinant of the derivative of ``x + u(x)`` around the frames.
        scores: at each evaluation, in order.
    """

    mri_from_ultrasound: Float64[Tensor, "4 4"]
    displacement: BSplineDisplacement
    score: float
    initial_score: float
    least_volume: float
    scores: tuple[float, ...] = field(repr=False)

    @property
    def folds(self) -> bool:
        """Whether the deformation turns tissue inside out anywhere around the frames."""
        return self.least_volume <= 0

    @property
    def plausible(self) -> bool:
        """Whether tissue keeps at least half its volume everywhere.

        Brain is all but incompressible: it bends and shears under surgery. A deformation that squeezes it has
        followed noise.
        """
        return self.least_volume >= PLAUSIBLE_VOLUME

    def transform_points(self, points_mm: Float[Tensor, "*points 3"]) -> Float64[Tensor, "*points 3"]:
        """World points of the ultrasound, in the world of the MRI."""
        points = points_mm.double()
        moved = points + self.displacement.at(points)
        return moved @ self.mri_from_ultrasound[:3, :3].T + self.mri_from_ultrasound[:3, 3]

    def summary(self) -> str:
        """A line or two for people."""
        kept = f"tissue keeps at least {self.least_volume:.0%} of its volume"
        folding = "it folds" if self.folds else kept if self.plausible else f"{kept}: not to be believed"
        return (
            f"free form: score {self.score:.3f}, {self.initial_score:.3f} without it\n"
            f"control points every {self.displacement.spacing_mm[0]:.1f} mm; {folding}"
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything as ``.npz``, without pickle.

        Raises:
            ValueError: for another extension or a place that cannot be written.
        """
        header = {"format": FILE_FORMAT, "version": FILE_VERSION, "frame": "RAS+", "unit": "mm"}
        header |= {name: getattr(self, name) for name in _WORDS}
        tensors = {name: getattr(self.displacement, name) for name in _OF_SPLINE}
        return write_archive(path, header, tensors | {"mri_from_ultrasound": self.mri_from_ultrasound})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> DeformableRegistration:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it is not one, or of a newer version.
        """
        header, tensors = read_archive(path, FILE_FORMAT, FILE_VERSION, "deformable registration")
        words: dict[str, Any] = {name: header[name] for name in _WORDS}
        words["scores"] = tuple(words["scores"])
        displacement = BSplineDisplacement(*(tensors[name] for name in _OF_SPLINE))
        return cls(tensors["mri_from_ultrasound"], displacement, **words)

    def displacement_field(self, ultrasound: Volume) -> Float64[Tensor, "I J K 3"]:
        """How far each voxel's point moves on its way to the MRI, in mm, world axes.

        Args:
            ultrasound: gives the grid; `diffus.io.transforms.save_displacement_field` writes the field.
        """
        axes = [torch.arange(size, dtype=torch.float64) for size in ultrasound.shape]
        index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        affine = ultrasound.world_from_voxel
        points = index @ affine[:3, :3].T + affine[:3, 3]
        return self.transform_points(points) - points


def register_deformable(
    sweep: VirtualSweep,
    medium: Medium,
    mri_from_ultrasound: Float64[Tensor, "4 4"] | None = None,
    settings: DeformableSettings | None = None,
    progress: Progress | None = None,
) -> DeformableRegistration:
    """Refine a rigid or affine transform by a free-form displacement.

    Inside `checkpoint.kept_in` the displacement of each lattice is kept as its descent ends.

    Args:
        sweep: frames of the ultrasound (`VolumeRegistration.sweep`).
        medium: made from the MRI, on its grid.
        mri_from_ultrasound: the transform to refine; the identity by default.
        settings: how.
        progress: told of each evaluation.
    """
    settings = settings or DeformableSettings()
    start = torch.eye(4, dtype=torch.float64) if mri_from_ultrasound is None else mri_from_ultrasound.double()
    grid = WarpGrid.around(sweep, settings.grid_mm)
    points = grid.points_mm()
    scored = WarpedSweep(sweep, medium, grid, settings.similarity, settings.rendering)

    def score_of(displacements: Float64[Tensor, "I J K 3"]) -> Tensor:
        return scored((points + displacements) @ start[:3, :3].T + start[:3, 3]).double()

    with torch.no_grad():
        initial = float(score_of(torch.zeros_like(points)))
    history: list[float] = []
    spline = None
    for number, spacing in enumerate(settings.spacings_mm):
        lattice = BSplineDisplacement.at_rest(grid.world_from_voxel, grid.shape, spacing)
        if spline is not None:
            lattice = _refined(spline, lattice, grid)
        name = f"free form {number + 1} of {len(settings.spacings_mm)}"
        found = step(name.replace(" ", "-"), _descent(name, lattice, grid, score_of, settings, progress))
        spline = lattice.with_coefficients(found["coefficients"])
        history += found["scores"].tolist()
    assert spline is not None
    with torch.no_grad():
        on_grid = LatticeOnGrid(spline, grid.world_from_voxel, grid.shape)
        score = float(score_of(on_grid.displacements(spline.coefficients)))
        least = float(on_grid.jacobian_determinants(spline.coefficients).min())
    return DeformableRegistration(start, spline, score, initial, least, tuple(history))


def _descent(
    name: str,
    start: BSplineDisplacement,
    grid: WarpGrid,
    score_of: _Score,
    settings: DeformableSettings,
    progress: Progress | None,
) -> Callable[[], dict[str, Tensor]]:
    """L-BFGS over the control points; the best place that does not fold, and the scores on the way."""
    most = round(1.5 * settings.n_steps)

    def work() -> dict[str, Tensor]:
        on_grid = LatticeOnGrid(start, grid.world_from_voxel, grid.shape)
        thin = LatticeOnGrid(start, *_thinned(grid))
        flat = start.coefficients.flatten().clone().requires_grad_()  # L-BFGS needs it contiguous
        descent = torch.optim.LBFGS(
            [flat],
            max_iter=settings.n_steps,
            max_eval=most,
            tolerance_change=1e-4,
            tolerance_grad=1e-4,
            line_search_fn="strong_wolfe",
        )
        best, at = torch.inf, start.coefficients
        scores: list[float] = []

        def closure() -> Tensor:
            nonlocal best, at
            if progress is not None:
                progress(name, len(scores), most)
            descent.zero_grad()
            free = flat.view(start.coefficients.shape)
            score = score_of(on_grid.displacements(free))
            volume = thin.jacobian_determinants(free)
            shrunk = (_LEAST_VOLUME - volume).clamp_min(0).square().mean()
            loss = GAIN * (settings.bending * 100 * thin.bending_energy(free) + _FOLDING * shrunk - score)
            loss.backward()
            scores.append(float(score.detach()))
            if float(loss.detach()) < best and float(volume.detach().min()) > 0:
                best, at = float(loss.detach()), free.detach().clone()
            return loss

        descent.step(closure)
        return {"coefficients": at, "scores": torch.tensor(scores, dtype=torch.float64)}

    return work


def _thinned(grid: WarpGrid, step: int = 4) -> tuple[Float64[Tensor, "4 4"], tuple[int, int, int]]:
    """Every so many points of the grid along each axis: splines are smooth on its scale."""
    affine = grid.world_from_voxel.clone()
    affine[:3, :3] *= step
    i, j, k = ((size + step - 1) // step for size in grid.shape)
    return affine, (i, j, k)


def _refined(
    coarse: BSplineDisplacement, lattice: BSplineDisplacement, grid: WarpGrid
) -> BSplineDisplacement:
    """The displacement of a coarse lattice on a finer one, by least squares along each axis in turn."""
    affine, shape = _thinned(grid, 2)
    field = LatticeOnGrid(coarse, affine, shape).displacements(coarse.coefficients)
    bases = LatticeOnGrid(lattice, affine, shape).bases(0)
    inverses = [torch.linalg.pinv(basis, rtol=1e-6) for basis in bases]
    field = torch.einsum("ai,ijkd->ajkd", inverses[0], field)
    field = torch.einsum("bj,ajkd->abkd", inverses[1], field)
    return lattice.with_coefficients(torch.einsum("ck,abkd->abcd", inverses[2], field))
