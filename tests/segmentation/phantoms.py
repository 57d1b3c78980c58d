"""Heads and brains made of nested ellipsoids, whose tissue fractions are known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffus import Volume

TISSUES = ("csf", "grey_matter", "white_matter")

INTENSITIES = {
    "t1": {"csf": 25.0, "grey_matter": 60.0, "white_matter": 90.0, "skull": 8.0, "scalp": 120.0},
    "cet1": {"csf": 30.0, "grey_matter": 65.0, "white_matter": 85.0, "skull": 10.0, "scalp": 130.0},
    "t2": {"csf": 240.0, "grey_matter": 110.0, "white_matter": 75.0, "skull": 8.0, "scalp": 130.0},
    "flair": {"csf": 20.0, "grey_matter": 100.0, "white_matter": 75.0, "skull": 12.0, "scalp": 130.0},
}
"""Tissue intensities as scanners give them, by contrast."""

RADII_MM = torch.tensor([58.0, 74.0, 56.0])
"""Half axes of the pial surface: some 1000 ml."""


@dataclass(frozen=True)
class Phantom:
    """Fractions of the tissues of a brain, of skull and scalp about it, and of ventricle within its CSF."""

    fractions: dict[str, Tensor]
    ventricle: Tensor
    world_from_voxel: Tensor

    @property
    def brain(self) -> Tensor:
        """Share of each voxel that is brain or CSF."""
        return sum((self.fractions[name] for name in TISSUES), torch.zeros(()))

    def mri(self, contrast: str, noise: float = 0.0, bias: float = 0.0, seed: int = 0) -> Volume:
        """An MRI of the phantom.

        Args:
            contrast: a key of `INTENSITIES`.
            noise: standard deviation, as a share of the brightest base class.
            bias: amplitude of a smooth field: exp(+bias) to exp(-bias) from front to back.
            seed: of the noise.
        """
        levels = INTENSITIES[contrast]
        image = sum((levels[name] * share for name, share in self.fractions.items()), torch.zeros(()))
        front_to_back = torch.linspace(-1, 1, image.shape[1])[None, :, None]
        image = image * torch.exp(bias * front_to_back)
        deviation = noise * max(levels[name] for name in TISSUES)
        generator = torch.Generator().manual_seed(seed)
        real, imaginary = (torch.randn(image.shape, generator=generator) * deviation for _ in range(2))
        return Volume(torch.hypot(image + real, imaginary), self.world_from_voxel)


def phantom(spacing_mm: float = 2.0, *, head: bool = True, supersample: int = 2) -> Phantom:
    """A brain with folded cortex, sulci and two ventricles, in a skull and scalp where ``head`` is true."""
    extent = RADII_MM + (26.0 if head else 6.0)
    sizes = [2 * int(e / spacing_mm) for e in extent]
    axes = [((torch.arange(n * supersample) + 0.5) / supersample - n / 2) * spacing_mm for n in sizes]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    radius = ((x / RADII_MM[0]) ** 2 + (y / RADII_MM[1]) ** 2 + (z / RADII_MM[2]) ** 2).sqrt()
    depth = (1 - radius) * float(RADII_MM.mean())
    # Furrows 12 mm deep and about 2 mm wide, some 16 mm apart, lined by 3 mm of cortex.
    angle = torch.atan2(y, x)
    across = (
        (torch.remainder(angle * 14 / torch.pi, 1.0) - 0.5).abs()
        * radius
        * float(RADII_MM.mean())
        * torch.pi
        / 14
    )
    folded = z.abs() < 40
    furrow = torch.where((depth < 12) & folded, across, 1e3)
    floor = (depth >= 12) & (depth < 15) & (across < 4.0) & folded
    ventricle = torch.minimum(_ellipsoid(x - 12, y, z, 7, 24, 9), _ellipsoid(x + 12, y, z, 7, 24, 9)) < 1
    inside = (depth > 0) & (furrow > 1.0)
    cortex = inside & ((depth < 3) | (furrow < 4.0) | floor)
    csf = (depth > -3) & ~inside | ventricle
    labels = {
        "csf": csf,
        "grey_matter": cortex & ~ventricle,
        "white_matter": inside & ~cortex & ~ventricle,
    }
    if head:
        labels["skull"] = (depth <= -3) & (depth > -11)
        labels["scalp"] = (depth <= -11) & (depth > -17)

    def pool(label: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool3d(label[None, None].float(), supersample)[0, 0]

    pooled = {name: pool(label) for name, label in labels.items()}
    affine = torch.diag(torch.tensor([spacing_mm, spacing_mm, spacing_mm, 1.0], dtype=torch.float64))
    affine[:3, 3] = -spacing_mm * (torch.tensor(sizes, dtype=torch.float64) - 1) / 2
    return Phantom(pooled, pool(ventricle), affine)


def dice(a: Tensor, b: Tensor) -> float:
    """Overlap of two masks: 1 where they are the same."""
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def _ellipsoid(x: Tensor, y: Tensor, z: Tensor, a: float, b: float, c: float) -> Tensor:
    return (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2
