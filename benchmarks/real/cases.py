"""The real frames: planes of four RESECT volumes and five slices of the ReMIND domain.

`sectors.json` holds what was read off the data: for each case the file, the probe's geometry, the pose of
its middle plane and the planes along the sweep. The world of a slice is (row, column, 0) in mm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import Probe, Volume
from diffus.pose import perturb
from diffus.presets import probe_from_dict

from .sampling import eroded_support, sample_plane
from .scanline_image import ScanlineImage

SECTORS = Path(__file__).parent / "sectors.json"
WHITE = 255.0
GROUPS: tuple[str, ...] = ("RESECT", "ReMIND")
SLICE_MM = 0.5
"""Pixel of the slices: known for ReMIND2Reg003, taken for the others, whose sectors have the same probe."""


@dataclass(frozen=True, eq=False)
class Sector:
    """Where one case's image planes lie.

    Args:
        name: of the case.
        file: within the folder of shared data.
        probe: its geometry.
        world_from_probe: (4, 4), middle plane.
        offsets_mm: of the planes, along the elevation axis.
    """

    name: str
    file: str
    probe: Probe
    world_from_probe: Float64[Tensor, "4 4"]
    offsets_mm: tuple[float, ...]

    def poses(self) -> Float64[Tensor, "planes 4 4"]:
        """Pose of each plane."""
        tangents = torch.zeros(len(self.offsets_mm), 6, dtype=torch.float64)
        tangents[:, 4] = torch.tensor(self.offsets_mm)
        return perturb(self.world_from_probe, tangents)


def sectors(group: str) -> dict[str, Sector]:
    """The cases of RESECT or ReMIND by name."""
    table = json.loads(SECTORS.read_text(encoding="utf-8"))[group]
    return {
        name: Sector(
            name,
            row["file"],
            probe_from_dict(row["probe"]),
            torch.tensor(row["world_from_probe"], dtype=torch.float64),
            tuple(row["offsets_mm"]),
        )
        for name, row in table.items()
    }


def real_images(data: Path, sector: Sector) -> list[ScanlineImage]:
    """The planes of one case, in scanlines."""
    if sector.file.endswith(".npz"):
        volume, support = read_slice(data / sector.file), None
    else:
        volume = Volume.load(data / sector.file)
        support = eroded_support(volume)
    return [sample_plane(volume, sector.probe, pose, WHITE, support) for pose in sector.poses()]


def read_slice(path: Path) -> Volume:
    """The ultrasound of a slice as a volume one voxel thick."""
    with np.load(path) as arrays:
        grey = torch.from_numpy(arrays["us"].astype(np.float32))
    affine = torch.diag(torch.tensor([SLICE_MM, SLICE_MM, SLICE_MM, 1.0], dtype=torch.float64))
    return Volume(grey[..., None], affine)
