"""Anatomies of the capture-range study: media to register to, media that frames are made from, and views."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

import diffus
from diffus import Medium, Probe, Volume, pose
from diffus.mixing import mix_tissues
from diffus.segmentation import brain_mask, fit_tissue_classes
from diffus.tissues import TISSUES

OTHER_SULCUS = 0.030
OTHER = {"grey_matter": (1.3, 0.8, 1.005), "white_matter": (0.85, 0.65, 0.995), "csf": (3.0, 1.0, 1.0)}
"""Another source's values: factors on backscatter, attenuation and density."""
BIAS = 0.06
"""Bias field, from one side to the other, of the image that the other mixture is fitted to."""
SIDES = ("left", "right", "superior", "anterior", "posterior")
CASE24_APEX = (100.4, 70.0, 123.9)
CASE24_AXIS_DEG = 237.5
"""The sector of the real sweep's middle plane, in voxels of Case 24, as in docs/gallery.py."""

Views = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class Scene:
    """One anatomy.

    Args:
        name: in the table.
        probe: of all frames.
        medium: what is registered to.
        other: the same anatomy by another source's values and another mixture fit.
        views: draws poses.
        contrast: the same anatomy from the other MRI contrast, aligned, where there is one.
    """

    name: str
    probe: Probe
    medium: Medium
    other: Medium
    views: Views
    contrast: Medium | None = None


def example_scene() -> Scene:
    """The embedded brain; the other mixture is fitted to its T1, the first are the template's own maps."""
    brain = diffus.datasets.example_brain()
    assert brain.image is not None
    other = other_medium({"t1": brain.image}, brain.mask)
    medium = Medium.from_tissue_maps(brain)
    return Scene("example brain", craniotomy(), medium, other, views_on(brain.mask, (0.0, -15.0, 15.0)))


def hanke_scene(data: Path) -> Scene:
    """A whole head, cropped to the brain."""
    head = Volume.load(data / "mri" / "hanke_sub02_T1_0.7mm.nii.gz")
    mask = brain_mask(head, "t1")
    where = (mask.data != 0).nonzero()
    low = (where.amin(dim=0) - 8).clamp_min(0).tolist()
    high = torch.minimum(where.amax(dim=0) + 9, torch.tensor(head.shape)).tolist()
    first, last = (low[0], low[1], low[2]), (high[0], high[1], high[2])
    head, mask = head.crop(first, last), mask.crop(first, last)
    medium = Medium.from_mri(head, "t1", mask=mask)
    views = views_on(mask, tuple(mask.centre_mm.tolist()))
    return Scene("hanke, T1", craniotomy(), medium, other_medium({"t1": head}, mask), views)


def case24_scene(data: Path) -> Scene:
    """RESECT Case 24 from FLAIR; its T1 is aligned to the FLAIR first, from which it is 1.2 mm away."""
    folder = data / "resect"
    flair = Volume.load(folder / "Case24-FLAIR-inUS-0.5mm.nii.gz")
    t1 = aligned(Volume.load(folder / "Case24-T1-inUS-0.5mm.nii.gz"), flair)
    mask = brain_mask(t1, "cet1")
    probe = diffus.ConvexProbe(
        radius_mm=21.0,
        field_of_view_deg=48.0,
        depth_mm=40.0,
        frequency_mhz=7.0,
        focus_mm=25.0,
        n_scanlines=128,
    )
    medium = Medium.from_mri(flair, "flair", mask=mask)
    other = other_medium({"flair": flair}, mask)
    return Scene("Case 24", probe, medium, other, case24_views(flair), Medium.from_mri(t1, "cet1", mask=mask))


def craniotomy() -> Probe:
    """The probe of the whole brains."""
    return diffus.preset("craniotomy").with_options(n_scanlines=128)


def other_medium(volumes: Mapping[str, Volume], mask: Volume) -> Medium:
    """The same tissue by another mixture fit and another table."""
    bent = {name: _biased(volume) for name, volume in volumes.items()}
    everything = slice(0, mask.shape[0])
    classes = fit_tissue_classes(bent, mask)
    fractions, names = classes.fractions(bent, mask, everything)
    table = TISSUES | {
        name: replace(
            TISSUES[name],
            backscatter=TISSUES[name].backscatter * scatters,
            attenuation_db_per_cm_mhz=TISSUES[name].attenuation_db_per_cm_mhz * attenuates,
            density_kg_m3=TISSUES[name].density_kg_m3 * weighs,
        )
        for name, (scatters, attenuates, weighs) in OTHER.items()
    }
    channels = mix_tissues(
        fractions,
        names,
        "water",
        open_fluid=classes.open_fluid(mask, everything),
        table=table,
        sulcus_backscatter=OTHER_SULCUS,
    )
    return Medium.from_channels(channels, mask.world_from_voxel)


def views_on(mask: Volume, middle: tuple[float, ...]) -> Views:
    """Poses on the surface, all around, aimed at points near the middle, turned about the beam at random."""

    def draw(count: int, generator: torch.Generator) -> Tensor:
        poses: list[Tensor] = []
        while len(poses) < count:
            spread = torch.tensor([20.0, 30.0, 15.0], dtype=torch.float64)
            away = (2 * torch.rand(3, generator=generator, dtype=torch.float64) - 1) * spread
            target = torch.tensor(middle, dtype=torch.float64) + away
            roll = 180 * float(torch.rand((), generator=generator)) - 90
            # A target beyond the mask is no view; the next one is.
            with suppress(ValueError):
                poses.append(diffus.on_surface(mask, target, SIDES[len(poses) % len(SIDES)], roll_deg=roll))
        return torch.stack(poses)

    return draw


def case24_views(volume: Volume) -> Views:
    """The plane of the real sweep's middle, shifted by up to 4 mm and turned by up to 8 degrees."""
    angle = math.radians(CASE24_AXIS_DEG)
    along = torch.tensor([math.cos(angle), 0.0, math.sin(angle)], dtype=torch.float64)
    across = torch.tensor([-math.sin(angle), 0.0, math.cos(angle)], dtype=torch.float64)
    matrix, shift = volume.world_from_voxel[:3, :3], volume.world_from_voxel[:3, 3]
    apex = torch.tensor(CASE24_APEX, dtype=torch.float64)
    entry = matrix @ (apex + 21.0 / volume.spacing_mm[0] * along) + shift
    at = pose.look_at(entry, entry + matrix @ along, lateral=matrix @ across)

    def draw(count: int, generator: torch.Generator) -> Tensor:
        reach = torch.tensor([8.0, 8.0, 8.0, 3.0, 4.0, 3.0], dtype=torch.float64)
        share = 2 * torch.rand(count, 6, generator=generator, dtype=torch.float64) - 1
        return pose.perturb(at, share * reach)

    return draw


def aligned(moving: Volume, fixed: Volume) -> Volume:
    """A contrast resampled to where mutual information is highest (Mattes et al., IEEE TMI 2003), rigid."""
    import SimpleITK as sitk

    images = []
    for volume in (fixed, moving):
        image = sitk.GetImageFromArray(volume.data.float().numpy().transpose(2, 1, 0).copy())
        image.SetSpacing(volume.spacing_mm)
        images.append(image)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.3, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetNumberOfThreads(1)
    centred = sitk.CenteredTransformInitializer(
        *images, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method.SetInitialTransform(sitk.Euler3DTransform(centred), inPlace=False)
    method.SetOptimizerAsRegularStepGradientDescent(0.5, 1e-4, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    found = method.Execute(*images)
    values = sitk.GetArrayFromImage(sitk.Resample(images[1], images[0], found, sitk.sitkBSpline, 0.0))
    data = torch.from_numpy(values.transpose(2, 1, 0).copy())
    return Volume(data.clamp(0, float(moving.data.max())), fixed.world_from_voxel)


def _biased(volume: Volume) -> Volume:
    field = 1 + BIAS * torch.linspace(-1, 1, volume.shape[0])
    return Volume(volume.data.float() * field[:, None, None], volume.world_from_voxel)
