"""What is known of a pose before the image is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.affine import spacing_of
from diffus.checks import require_positive, require_shape
from diffus.volume import Volume


@runtime_checkable
class Prior(Protocol):
    """Anything that gives residuals in units of their standard deviation."""

    def __call__(self, world_from_probe: Float64[Tensor, "B 4 4"]) -> Float64[Tensor, "B R"]:
        """Residuals of each pose."""
        ...


def residuals(priors: Sequence[Prior], world_from_probe: Float64[Tensor, "B 4 4"]) -> Float64[Tensor, "B R"]:
    """Residuals of several priors side by side; none for no prior."""
    if not priors:
        return world_from_probe.new_zeros(len(world_from_probe), 0)
    return torch.cat([prior(world_from_probe) for prior in priors], dim=1)


@dataclass(frozen=True, eq=False)
class TrackedPose:
    """A pose measured by a tracker, with its uncertainty.

    Args:
        world_from_probe: the measured pose, (4, 4).
        sigma_deg: standard deviation of each component of the rotation vector.
        sigma_mm: standard deviation of each component of the translation.
        covariance: (6, 6) instead, of the tangent in the probe frame as `diffus.pose` has it: degrees, then
            mm.

    Raises:
        ValueError: for a pose that is not rigid, a sigma that is not above zero, or a covariance that is not
            symmetric and positive.
    """

    world_from_probe: Float64[Tensor, "4 4"]
    sigma_deg: float = 5.0
    sigma_mm: float = 5.0
    covariance: Float64[Tensor, "6 6"] | None = None

    def __post_init__(self) -> None:
        require_positive("TrackedPose", sigma_deg=self.sigma_deg, sigma_mm=self.sigma_mm)
        object.__setattr__(self, "world_from_probe", pose.from_matrix(self.world_from_probe))
        if self.covariance is None:
            sigma = torch.tensor([self.sigma_deg] * 3 + [self.sigma_mm] * 3, dtype=torch.float64)
            object.__setattr__(self, "covariance", torch.diag(sigma**2))
            return
        given = torch.as_tensor(self.covariance, dtype=torch.float64)
        require_shape("TrackedPose covariance", given.shape, "(6, 6)", given.shape == (6, 6))
        if not torch.allclose(given, given.mT) or not bool((torch.linalg.eigvalsh(given) > 0).all()):
            raise ValueError(
                "TrackedPose: covariance must be symmetric with positive eigenvalues, in degrees and mm"
            )

    def __call__(self, world_from_probe: Float64[Tensor, "B 4 4"]) -> Float64[Tensor, "B 6"]:
        """The tangent from the measured pose, whitened: its square is that of Mahalanobis."""
        assert self.covariance is not None
        away = pose.log(pose.compose(pose.inverse(self.world_from_probe), world_from_probe))
        factor = torch.linalg.cholesky(self.covariance)
        return torch.linalg.solve_triangular(factor, away[..., None], upper=False)[..., 0]


class FaceOnSurface:
    """The middle of the transducer's face touches a surface.

    Args:
        mask: non-zero inside the body that is touched.
        sigma_mm: how far from the surface the face typically is: gel, brain shift.

    Raises:
        ValueError: for a sigma that is not above zero, and for a mask that is empty or full.
    """

    def __init__(self, mask: Volume, sigma_mm: float = 2.0) -> None:
        import SimpleITK as sitk

        require_positive("FaceOnSurface", sigma_mm=sigma_mm)
        inside = mask.data != 0
        if not bool(inside.any()) or bool(inside.all()):
            raise ValueError("FaceOnSurface: the mask is empty or full, so that it has no surface")
        image = sitk.GetImageFromArray(inside.numpy().astype("uint8").transpose(2, 1, 0).copy())
        image.SetSpacing(spacing_of(mask.world_from_voxel))
        away = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
        values = torch.from_numpy(sitk.GetArrayFromImage(away).transpose(2, 1, 0).copy())
        self.distance_mm = Volume(values, mask.world_from_voxel)
        self.sigma_mm = sigma_mm

    def __call__(self, world_from_probe: Float64[Tensor, "B 4 4"]) -> Float64[Tensor, "B 1"]:
        """Signed distance of the face from the surface, positive outside, over sigma."""
        from diffus.sampling import sample_trilinear

        matrix = self.distance_mm.voxel_from_world
        index = world_from_probe[:, :3, 3] @ matrix[:3, :3].mT + matrix[:3, 3]
        last = torch.tensor(self.distance_mm.shape, dtype=torch.float64) - 1
        nearest = index.clamp(torch.zeros(3, dtype=torch.float64), last)
        spacing = torch.tensor(self.distance_mm.spacing_mm, dtype=torch.float64)
        beyond = ((index - nearest) * spacing).norm(dim=-1)
        distance = sample_trilinear(self.distance_mm.data.double()[..., None], nearest)[..., 0]
        return ((distance + beyond) / self.sigma_mm)[:, None]
