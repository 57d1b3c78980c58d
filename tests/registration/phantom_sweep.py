"""A small swept volume of a synthetic tissue, made by the renderer with sampled speckle."""

from __future__ import annotations

import torch
from torch import Tensor

from diffus import ConvexProbe, Medium, RenderSettings, Volume, pose, render
from diffus.imaging.scan_conversion import sample_scanlines
from diffus.registration.volume import SweepGeometry
from diffus.segmentation.morphology import smooth

PROBE = ConvexProbe(
    radius_mm=20.0, field_of_view_deg=50.0, depth_mm=36.0, frequency_mhz=7.0, n_scanlines=64, n_samples=192
)
POSE = pose.from_euler((25.0, -40.0, 65.0), (12.0, -33.0, 48.0))
"""Of the middle plane, in general position."""
REACH_MM, STEP_MM, VOXEL_MM = 10.0, 1.0, 0.8
GEOMETRY = SweepGeometry(PROBE, POSE, POSE[:3, 1])


def tissue(seed: int = 0, spacing_mm: float = 1.0) -> Medium:
    """Blobs of a few millimetres with edges, three tissues, on a grid around the sweep."""
    generator = torch.Generator().manual_seed(seed)
    size = 76
    noise = torch.randn(size, size, size, generator=generator)
    pattern = smooth(noise, (spacing_mm,) * 3, 2.5)
    pattern = pattern / pattern.std()
    share = torch.sigmoid(8 * (pattern - 0.4))
    sulci = torch.exp(-((pattern + 0.8) ** 2) / 0.03)
    affine = torch.diag(torch.tensor([spacing_mm] * 3 + [1.0], dtype=torch.float64))
    affine[:3, 3] = POSE[:3, 3] + 18 * POSE[:3, 2] - spacing_mm * (size - 1) / 2
    return Medium(1.57 + 0.05 * share - 0.04 * sulci, 0.7 + 0.3 * share, 0.003 + 0.02 * sulci, affine)


def swept(medium: Medium, mri_from_ultrasound: Tensor, seed: int = 11) -> Volume:
    """The ultrasound volume of a sweep over the medium, as it lies in the ultrasound's world."""
    offsets = torch.arange(-REACH_MM, REACH_MM + STEP_MM / 2, STEP_MM, dtype=torch.float64)
    poses = POSE.repeat(len(offsets), 1, 1)
    poses[:, :3, 3] += offsets[:, None] * POSE[:3, 1]
    settings = RenderSettings(speckle="sampled", seed=seed, gain_db=35.0, noise_db=None)
    frames = render(medium, PROBE, mri_from_ultrasound @ poses, settings).scanlines
    return gridded(frames, offsets)


def gridded(frames: Tensor, offsets_mm: Tensor) -> Volume:
    """Frames of a straight sweep, interpolated into voxels along the axes of the middle plane; 0 outside."""
    left, right, top, bottom = PROBE.plane_bounds_mm()
    low = torch.tensor([left - 2, -REACH_MM - 2, top - 2], dtype=torch.float64)
    high = torch.tensor([right + 2, REACH_MM + 2, bottom + 2], dtype=torch.float64)
    counts = ((high - low) / VOXEL_MM).ceil().long().tolist()
    axes = [
        first + VOXEL_MM * torch.arange(n, dtype=torch.float64) for first, n in zip(low, counts, strict=True)
    ]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    line, depth = PROBE.scanline_coordinates(x, z)
    inside = PROBE.field_of_view_mask(x, z) & (y.abs() <= REACH_MM)
    sample = depth / (float(PROBE.depth_mm) / PROBE.n_samples) - 0.5
    plane = ((y - offsets_mm[0]) / STEP_MM).clamp(0, len(offsets_mm) - 1 - 1e-6)
    grey = sample_scanlines(frames, line[:, 0].float(), sample[:, 0].float(), False)
    low_plane = plane[0, :, 0].long()
    share = (plane[0, :, 0] - low_plane).float()[:, None, None]
    values = torch.lerp(grey[low_plane], grey[low_plane + 1], share).permute(1, 0, 2)
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = POSE[:3, :3] * VOXEL_MM
    affine[:3, 3] = POSE[:3, :3] @ low + POSE[:3, 3]
    return Volume(torch.where(inside, values.clamp_min(0.01) * 255, 0.0), affine)
