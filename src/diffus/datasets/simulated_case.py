"""One case of a simulated dataset: hidden tissues, sweep, ultrasound volume, MRI, landmarks and the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from diffus import pose
from diffus.datasets.landmarks import Landmarks
from diffus.datasets.reconstruction import Reconstruction
from diffus.datasets.simulated_head import Head, HiddenTissues, mri_of
from diffus.datasets.simulated_sweep import craniotomy_pose, oblique_grid, rigid_offset, sweep_poses
from diffus.datasets.simulation_settings import SimulationSettings
from diffus.imaging.formation import resampled
from diffus.medium import Medium
from diffus.presets import preset
from diffus.probe import Probe
from diffus.render import render
from diffus.segmentation.morphology import erode
from diffus.settings import RenderSettings
from diffus.volume import Volume

DEPTHS_MM = (55.0, 75.0)
"""Imaged depths that surgeons choose."""
LARGEST_SHARE = 0.6
"""Of the volume's side that the imaged depth may take."""
GAIN_DB = 3.0
"""Standard deviation of the overall gain from case to case."""
OBLIQUE_DEG = 8.0
_FRAMES_AT_ONCE = 8
_CANDIDATES = 20_000
_LANDMARK_MM = 4.0
"""Least distance between landmarks, and from the border of the ultrasound."""


@dataclass(frozen=True, eq=False)
class SimulatedCase:
    """A case and what is hidden behind it.

    Args:
        ultrasound: swept volume, whole numbers from 0 to 255, 0 where no frame came by.
        contrasts: MRI by contrast, on the same grid.
        landmarks: in both.
        medium: what was rendered, in the world of the MRI.
        mri_from_ultrasound: the offset between both.
        truth: probe, poses, tissue values and settings, for JSON.
    """

    ultrasound: Volume
    contrasts: Mapping[str, Volume]
    landmarks: Landmarks
    medium: Medium
    mri_from_ultrasound: Float64[Tensor, "4 4"]
    truth: dict[str, Any]


def simulate_case(
    head: Head, hidden: HiddenTissues, contrasts: tuple[str, ...], settings: SimulationSettings, seed: int
) -> SimulatedCase:
    """Make a case; the same arguments give the same case.

    Args:
        head: the patient.
        hidden: acoustic values of the whole dataset.
        contrasts: of the MRI (cet1, t2).
        settings: of the dataset.
        seed: of everything that is random in it.

    Raises:
        ValueError: when no landmark finds room, as where the ultrasound misses the brain.
    """
    generator = torch.Generator().manual_seed(seed)
    tissues = hidden.varied(settings.case_variation, generator)
    probe = _probe(settings, generator)
    middle = craniotomy_pose(head.mask, generator)
    centre = middle[:3, 3] + 0.5 * float(probe.depth_mm) * middle[:3, 2]
    shape = (settings.size, settings.size, settings.size)
    affine = oblique_grid(shape, settings.spacing_mm, centre, OBLIQUE_DEG, generator)
    near = head.around(shape, affine)
    medium = tissues.medium(near)
    mri_from_ultrasound = rigid_offset(settings.offset_mm, settings.offset_deg, centre, generator)
    length = min(45.0, 0.5 * settings.size * settings.spacing_mm)
    poses = sweep_poses(middle, settings.n_frames, length, generator)
    gain = GAIN_DB * float(torch.randn((), generator=generator))
    shown = RenderSettings(speckle="sampled", seed=seed, gain_db=gain)
    built = Reconstruction(shape, affine, max(3 * settings.spacing_mm, 2 * length / settings.n_frames))
    ultrasound_from_mri = pose.inverse(mri_from_ultrasound)
    for part in poses.split(_FRAMES_AT_ONCE):
        built.add(render(medium, probe, part, shown).scanlines, probe, ultrasound_from_mri @ part)
    truth = {
        "seed": seed,
        "mri_from_ultrasound": mri_from_ultrasound.tolist(),
        "probe": probe.to_dict(),
        "ultrasound_from_probe": (ultrasound_from_mri @ poses).tolist(),
        "render_settings": shown.to_dict(),
        "hidden": tissues.to_dict(tuple(dict.fromkeys([*head.maps.fractions, head.maps.surroundings]))),
    }
    return SimulatedCase(
        _grey(built),
        {name: mri_of(near, name, shape, affine, generator) for name in contrasts},
        _landmarks(built, medium, near.mask, mri_from_ultrasound, settings.n_landmarks, generator),
        medium,
        mri_from_ultrasound,
        truth,
    )


def _probe(settings: SimulationSettings, generator: torch.Generator) -> Probe:
    low, high = DEPTHS_MM
    depth = low + (high - low) * float(torch.rand((), generator=generator))
    depth = min(depth, LARGEST_SHARE * settings.size * settings.spacing_mm)
    probe = preset("craniotomy").with_options(depth_mm=depth, focus_mm=0.6 * depth)
    # A sample and a scanline for a third of a voxel: what is finer, the voxels do not show.
    fineness = 3 / settings.spacing_mm
    return resampled(probe, *(int(min(most, max(32, fineness * depth))) for most in (192, 512)))


def _grey(built: Reconstruction) -> Volume:
    """Bytes, as scanners store them: 0 outside what was swept, 1 to 255 inside."""
    mean = built.volume()
    grey = (255 * mean.data).round_().clamp_(1, 255) * built.support
    return Volume(grey.to(torch.uint8), mean.world_from_voxel)


def _landmarks(
    built: Reconstruction,
    medium: Medium,
    brain: Volume,
    mri_from_ultrasound: Float64[Tensor, "4 4"],
    count: int,
    generator: torch.Generator,
) -> Landmarks:
    """Places on boundaries of the brain that the ultrasound shows, well apart, on voxels of the medium.

    They are drawn by how steeply the logarithm of the backscatter changes there, as experts pick the edges
    of sulci and ventricles.
    """
    logarithm = torch.log(medium.backscatter + 1e-4)
    steepness = sum(step**2 for step in torch.gradient(logarithm))
    weights = (torch.as_tensor(steepness).sqrt() * (brain.data != 0)).flatten()
    drawn = min(_CANDIDATES, int((weights > 0).sum()))
    numbers = torch.multinomial(weights, drawn, generator=generator) if drawn else torch.arange(0)
    voxels = torch.stack(torch.unravel_index(numbers, medium.shape), dim=-1).double()
    world = voxels @ medium.world_from_voxel[:3, :3].T + medium.world_from_voxel[:3, 3]
    world = world[_is_shown(built, world, mri_from_ultrasound)]
    if not len(world):
        raise ValueError(
            "the ultrasound shows no boundary of the brain: make the volume larger (size, spacing_mm)"
        )
    chosen = world[:1]
    for point in world[1:]:
        if len(chosen) == count:
            break
        if bool(((chosen - point).norm(dim=-1) >= _LANDMARK_MM).all()):
            chosen = torch.cat([chosen, point[None]])
    return Landmarks(chosen, pose.transform_points(pose.inverse(mri_from_ultrasound), chosen))


def _is_shown(
    built: Reconstruction,
    in_mri_mm: Float64[Tensor, "P 3"],
    mri_from_ultrasound: Float64[Tensor, "4 4"],
) -> Bool[Tensor, " P"]:
    """Which places lie well inside the ultrasound, and inside the grid of the MRI."""
    support = built.volume()
    inner = erode(built.support, support.spacing_mm, _LANDMARK_MM)
    moved = pose.transform_points(pose.inverse(mri_from_ultrasound), in_mri_mm)
    shown = Volume(inner, support.world_from_voxel).sample(moved.float()) > 0.99
    return shown & support.contains(in_mri_mm)
