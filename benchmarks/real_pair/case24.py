"""RESECT Case 24: ultrasound, T1, FLAIR, the media made from them, and how T1 lies to FLAIR."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import Medium, Volume
from diffus.registration.contrasts import align_contrast
from diffus.segmentation import brain_mask

US, T1, FLAIR = ("US-before-0.5mm", "T1-inUS-0.5mm", "FLAIR-inUS-0.5mm")


@dataclass(frozen=True)
class Pair:
    """The volumes, all on one grid.

    Args:
        ultrasound: of the sweep before resection.
        t1: as shipped.
        flair: as shipped.
        moved_t1: T1 resampled to where mutual information finds FLAIR.
        flair_from_t1: how far that is, (4, 4).
    """

    ultrasound: Volume
    t1: Volume
    flair: Volume
    moved_t1: Volume
    flair_from_t1: Float64[Tensor, "4 4"]

    @classmethod
    def load(cls, data: Path) -> Pair:
        """Read the pair and coregister its contrasts."""
        files = [data / "resect" / f"Case24-{name}.nii.gz" for name in (US, T1, FLAIR)]
        ultrasound, t1, flair = (Volume.load(path) for path in files)
        flair_from_t1 = align_contrast(t1, flair)
        moved = Volume(t1.data, flair_from_t1 @ t1.world_from_voxel)
        return cls(ultrasound, t1, flair, moved.resample(flair.shape, flair.world_from_voxel), flair_from_t1)

    def contrasts(self, name: str) -> dict[str, Volume]:
        """Volumes of "T1", "FLAIR", "both", "T1, T1 moved" or "both, T1 moved"."""
        t1 = self.moved_t1 if "moved" in name else self.t1
        chosen = {"cet1": t1, "flair": self.flair}
        if name.startswith("both"):
            return chosen
        return {"flair": self.flair} if name == "FLAIR" else {"cet1": t1}

    def medium(self, name: str) -> Medium:
        """The medium of some contrasts."""
        mask = brain_mask(self.moved_t1 if "moved" in name else self.t1, "cet1")
        return Medium.from_mri(self.contrasts(name), mask=mask)


def random_offsets(count: int, reach_mm: float = 8.0, reach_deg: float = 8.0) -> Float64[Tensor, "B 6"]:
    """Tangents with directions even over the sphere and lengths even up to the reach."""
    generator = torch.Generator().manual_seed(2024)
    directions = torch.randn(count, 2, 3, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    lengths = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    reach = torch.tensor([reach_deg, reach_mm], dtype=torch.float64)
    return (directions * (lengths * reach)[..., None]).reshape(count, 6)
