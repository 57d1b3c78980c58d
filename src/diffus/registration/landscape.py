"""The landscape that a registration descends in: similarity around a pose, along one or two directions.

Poses are moved in the frame of the probe: turned about its axes through the middle of the sector, and shifted
along them (`motion.moved`), so that turning and shifting hardly mix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus.checks import require_one_of, require_positive, require_shape
from diffus.frame import Frame
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.inputs import checked_target
from diffus.registration.motion import moved, pivot_of, sector_points, tangent_between
from diffus.registration.objective import LEAST_SEEN, Objective
from diffus.registration.stages import COARSE_TO_FINE
from diffus.registration.target import Target
from diffus.render import poses_at_once, render
from diffus.settings import RenderSettings
from diffus.similarity.measure import Similarity

DEGREES_OF_FREEDOM = {
    "turn_x_deg": "tilt out of the image plane, about x",
    "turn_y_deg": "turn in the image plane, about y",
    "turn_z_deg": "twist about the beam, z",
    "shift_x_mm": "slide along the face, x",
    "shift_y_mm": "slide out of the image plane, y",
    "shift_z_mm": "move along the beam, z",
}
"""Names of the six numbers of a tangent, in its order, and what each does with the probe."""
MEMORY_MB = 512.0
"""What renderings may take at a time where the settings do not say (``max_memory_mb``)."""
_STAGE = COARSE_TO_FINE[-1]


@dataclass(frozen=True, eq=False)
class Landscape:
    """Similarity along single degrees of freedom, all others left as in the given pose.

    Args:
        names: D of `DEGREES_OF_FREEDOM`; the end of each is its unit.
        offsets: from the given pose, (D, K), in degrees or mm.
        scores: there, larger is more alike; NaN where less than a tenth of the sector sees the volume.
        world_from_probe: the given pose.
        pivot: shift from the probe's origin to the point about which it turns.
    """

    names: tuple[str, ...]
    offsets: Float64[Tensor, "D K"]
    scores: Float64[Tensor, "D K"]
    world_from_probe: Float64[Tensor, "4 4"]
    pivot: Float64[Tensor, "4 4"]

    def best(self, name: str) -> float:
        """Offset of the highest score along one degree of freedom; NaN where nothing was seen.

        Raises:
            ValueError: for a name that was not computed.
        """
        require_one_of("degree of freedom", name, self.names)
        row = self.names.index(name)
        seen = torch.nan_to_num(self.scores[row], nan=-torch.inf)
        return float(self.offsets[row, seen.argmax()]) if bool(seen.isfinite().any()) else float("nan")


@dataclass(frozen=True, eq=False)
class LandscapePlane:
    """Similarity over two degrees of freedom, the other four left as in the given pose.

    Args:
        names: of the first and the second.
        first: offsets along the first, degrees or mm by its name.
        second: offsets along the second.
        scores: (K, L), larger is more alike; NaN where less than a tenth of the sector sees the volume.
        world_from_probe: the given pose.
        pivot: shift from the probe's origin to the point about which it turns.
    """

    names: tuple[str, str]
    first: Float64[Tensor, " K"]
    second: Float64[Tensor, " L"]
    scores: Float64[Tensor, "K L"]
    world_from_probe: Float64[Tensor, "4 4"]
    pivot: Float64[Tensor, "4 4"]

    def best(self) -> tuple[float, float]:
        """Both offsets of the highest score; NaN where nothing was seen."""
        seen = torch.nan_to_num(self.scores, nan=-torch.inf)
        if not bool(seen.isfinite().any()):
            return float("nan"), float("nan")
        row, column = divmod(int(seen.argmax()), len(self.second))
        return float(self.first[row]), float(self.second[column])

    def place(self, poses: Float64[Tensor, "T 4 4"]) -> Float64[Tensor, "T 2"]:
        """Where poses lie in the plane, as those of a descent; their other four offsets are left out."""
        tangent = tangent_between(self.world_from_probe, poses, self.pivot)
        return tangent[:, [list(DEGREES_OF_FREEDOM).index(name) for name in self.names]]


def landscape(
    fixed: Frame | Float[Tensor, "*B S N"],
    medium: Medium,
    world_from_probe: Any = None,
    *,
    probe: Probe | None = None,
    names: Sequence[str] = tuple(DEGREES_OF_FREEDOM),
    reach_deg: float = 10.0,
    reach_mm: float = 10.0,
    count: int = 41,
    similarity: Similarity | None = None,
    mask: Bool[Tensor, "S N"] | Float[Tensor, "S N"] | None = None,
    settings: RenderSettings | None = None,
) -> Landscape:
    """Similarity along degrees of freedom around a pose. Without gradients, so many poses at once as fit.

    Args:
        fixed: one image, rendered or real: a `Frame`, or display values in [0, 1] on the probe's scanlines.
        medium: what is rendered.
        world_from_probe: the pose in the middle; by default that of the frame.
        probe: that of the image; by default the one the frame carries.
        names: which of `DEGREES_OF_FREEDOM`.
        reach_deg: how far to either side of the pose turns go.
        reach_mm: how far shifts go.
        count: poses along each; an odd one has the given pose among them.
        similarity: a measure of `diffus.similarity`, which compares the images on the scanlines; by default
            the local correlation that the last stage of `register` climbs.
        mask: what to compare on the scanlines, bool or weights in [0, 1].
        settings: how to render, with expected speckle in any case.

    Raises:
        ValueError: for unknown or no names, a reach or count out of range, and as `register`.
    """
    chosen = _checked_names(names)
    around = _Around.of(fixed, medium, world_from_probe, probe, similarity, mask, settings)
    offsets = torch.stack([_offsets(name, reach_deg, reach_mm, count) for name in chosen])
    tangents = torch.zeros(len(chosen), count, 6, dtype=torch.float64)
    for row, name in enumerate(chosen):
        tangents[row, :, list(DEGREES_OF_FREEDOM).index(name)] = offsets[row]
    scores = around.scores(tangents.flatten(0, 1)).unflatten(0, (len(chosen), count))
    return Landscape(chosen, offsets, scores, around.pose, around.pivot)


def landscape_plane(
    fixed: Frame | Float[Tensor, "*B S N"],
    medium: Medium,
    world_from_probe: Any = None,
    *,
    names: tuple[str, str] = ("shift_x_mm", "shift_z_mm"),
    probe: Probe | None = None,
    reach_deg: float = 10.0,
    reach_mm: float = 10.0,
    count: int = 25,
    similarity: Similarity | None = None,
    mask: Bool[Tensor, "S N"] | Float[Tensor, "S N"] | None = None,
    settings: RenderSettings | None = None,
) -> LandscapePlane:
    """Similarity over two degrees of freedom around a pose; arguments and refusals are those of `landscape`.

    Two turns at a time are one rotation vector.

    Args:
        fixed: one image.
        medium: what is rendered.
        world_from_probe: the pose in the middle; by default that of the frame.
        names: the two degrees of freedom.
        probe: that of the image; by default the one the frame carries.
        reach_deg: how far to either side of the pose turns go.
        reach_mm: how far shifts go.
        count: poses along each; ``count ** 2`` in all.
        similarity: see `landscape`.
        mask: what to compare on the scanlines.
        settings: how to render.

    Raises:
        ValueError: as `landscape`, and for names that are not two different ones.
    """
    chosen = _checked_names(names)
    if len(chosen) != 2:
        raise ValueError(f"landscape_plane: expected two degrees of freedom, got {', '.join(chosen)}")
    around = _Around.of(fixed, medium, world_from_probe, probe, similarity, mask, settings)
    first, second = (_offsets(name, reach_deg, reach_mm, count) for name in chosen)
    tangents = torch.zeros(count, count, 6, dtype=torch.float64)
    tangents[..., list(DEGREES_OF_FREEDOM).index(chosen[0])] = first[:, None]
    tangents[..., list(DEGREES_OF_FREEDOM).index(chosen[1])] = second
    scores = around.scores(tangents.flatten(0, 1)).unflatten(0, (count, count))
    return LandscapePlane((chosen[0], chosen[1]), first, second, scores, around.pose, around.pivot)


@dataclass(frozen=True, eq=False)
class _Around:
    """A pose with its pivot, and how the poses around it are judged, so many at a time."""

    pose: Float64[Tensor, "4 4"]
    pivot: Float64[Tensor, "4 4"]
    judge: Callable[[Float64[Tensor, "n 4 4"]], Float64[Tensor, " n"]]
    at_once: int

    @classmethod
    def of(
        cls,
        fixed: Frame | Tensor,
        medium: Medium,
        world_from_probe: Any,
        probe: Probe | None,
        similarity: Similarity | None,
        mask: Tensor | None,
        settings: RenderSettings | None,
    ) -> _Around:
        target, poses = checked_target(fixed, medium, probe, world_from_probe, mask, settings)
        if len(target.fixed) != 1 or len(poses) != 1:
            raise ValueError(
                f"landscape: expected one image and one pose, got {len(target.fixed)} and {len(poses)}: take "
                "frame[0]"
            )
        judge = _registration_judge(target) if similarity is None else _Judge(target, similarity)
        asked = target.settings.with_options(max_memory_mb=target.settings.max_memory_mb or MEMORY_MB)
        at_once = poses_at_once(target.probe, asked, medium.impedance.element_size())
        return cls(poses[0], pivot_of(sector_points(target.probe)), judge, at_once)

    @torch.no_grad()
    def scores(self, tangents: Float64[Tensor, "n 6"]) -> Float64[Tensor, " n"]:
        parts = moved(self.pose, tangents, self.pivot).split(self.at_once)
        return torch.cat([self.judge(part).double().cpu() for part in parts])


def _registration_judge(target: Target) -> Callable[[Float64[Tensor, "n 4 4"]], Float64[Tensor, " n"]]:
    objective: Objective = target.objective(_STAGE)

    def judge(poses: Float64[Tensor, "n 4 4"]) -> Float64[Tensor, " n"]:
        compared = objective(poses)
        return torch.where(compared.seen >= LEAST_SEEN, 1 - compared.energy / 2, torch.nan)

    return judge


@dataclass(frozen=True, eq=False)
class _Judge:
    """A measure of similarity, asked where enough of the sector sees the volume."""

    target: Target
    similarity: Similarity

    def __call__(self, poses: Float64[Tensor, "n 4 4"]) -> Float64[Tensor, " n"]:
        target = self.target
        scores = torch.full((len(poses),), torch.nan, dtype=torch.float64)
        seen = self._seen(poses) >= LEAST_SEEN
        if bool(seen.any()):
            shown = render(target.medium, target.probe, poses[seen], target.settings).scanlines
            scores[seen] = self.similarity(shown, target.fixed, target.weights).double().cpu()
        return scores

    def _seen(self, poses: Float64[Tensor, "n 4 4"]) -> Float64[Tensor, " n"]:
        """Share of points spread over the sector that lie in the volume."""
        medium, points = self.target.medium, sector_points(self.target.probe)
        voxel_from_probe = medium.voxel_from_world @ poses
        index = points @ voxel_from_probe[:, :3, :3].mT + voxel_from_probe[:, None, :3, 3]
        last = torch.tensor(medium.shape, dtype=torch.float64) - 1
        return ((index >= 0) & (index <= last)).all(dim=-1).double().mean(dim=1)


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    chosen = (names,) if isinstance(names, str) else tuple(names)
    for name in chosen:
        require_one_of("degree of freedom", name, DEGREES_OF_FREEDOM)
    require_shape("names", (len(chosen),), "one or more different ones", 0 < len(chosen) == len(set(chosen)))
    return chosen


def _offsets(name: str, reach_deg: float, reach_mm: float, count: int) -> Float64[Tensor, " K"]:
    require_positive("landscape", reach_deg=reach_deg, reach_mm=reach_mm)
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise ValueError(f"landscape: count must be a whole number of 2 or more, got {count!r}")
    reach = reach_deg if name.endswith("_deg") else reach_mm
    half = torch.arange(count, dtype=torch.float64) - (count - 1) / 2
    return half * (2 * reach / (count - 1))
