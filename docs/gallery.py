"""Draws the gallery, every kind of input rendered: ``python docs/gallery.py``.

The embedded brain needs nothing. The other pictures need the real volumes of ``../shared/data`` (or
$DIFFUS_DATA), and are left as they are, with a word, where those are not at hand.
"""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import diffus
from diffus import Medium, Probe, RenderSettings, Volume, plot
from diffus.plot.slices import fan_slice

LOG = logging.getLogger("gallery")
HERE = Path(__file__).parent
PICTURES = HERE / "gallery"
DATA = Path(os.environ.get("DIFFUS_DATA", HERE.parents[1] / "shared" / "data"))
DPI = 75


def row(name: str, image: Volume, medium: Medium, probe: Probe, at: Tensor, settings: RenderSettings) -> None:
    """The slice with the sector, and the frame."""
    frame = diffus.render(medium, probe, at, settings)
    plot.save_figure(plot.side_by_side(image, frame), PICTURES / f"{name}.png", dpi=DPI)
    LOG.info("%s", name)


def embedded_brain() -> None:
    """Three sides of the embedded brain."""
    brain = diffus.datasets.example_brain()
    assert brain.image is not None
    medium, probe = Medium.from_tissue_maps(brain), diffus.preset("craniotomy")
    views = {"left": (0.0, -15.0, 15.0), "superior": (15.0, -10.0, 20.0), "anterior": (4.0, 0.0, 12.0)}
    for side, target in views.items():
        at = diffus.on_surface(brain.mask, target, side)
        row(f"brain_{side}", brain.image, medium, probe, at, RenderSettings())


def whole_head(
    name: str, file: str, contrast: str, side: str, target: tuple[float, float, float] | None
) -> None:
    """A head with skull: the probe stands on the brain, as at a craniotomy."""
    image = Volume.load(DATA / "mri" / file)
    mask = diffus.segmentation.brain_mask(image, contrast)
    at = diffus.on_surface(mask, target, side)
    medium = Medium.from_mri(image, contrast, mask=mask)
    row(name, image, medium, diffus.preset("craniotomy"), at, RenderSettings())


def case24_view() -> tuple[Probe, Tensor]:
    """Probe and pose of the real sweep's middle, read off the support of the ultrasound volume by hand.

    In the plane of voxel index j = 70 the sector's sides meet at (i, k) = (100.4, 123.9) and open by 48
    degrees about the direction of 237.5 degrees from i to k; the face is 21 mm and the far end 61 mm away.
    """
    volume = Volume.load(DATA / "resect" / "Case24-US-before-0.5mm.nii.gz")
    angle, spacing = math.radians(237.5), volume.spacing_mm[0]
    apex = torch.tensor([100.4, 70.0, 123.9], dtype=torch.float64)
    along = torch.tensor([math.cos(angle), 0.0, math.sin(angle)], dtype=torch.float64)
    across = torch.tensor([-math.sin(angle), 0.0, math.cos(angle)], dtype=torch.float64)
    matrix, shift = volume.world_from_voxel[:3, :3], volume.world_from_voxel[:3, 3]
    entry = matrix @ (apex + 21.0 / spacing * along) + shift
    probe = diffus.ConvexProbe(
        radius_mm=21.0, field_of_view_deg=48.0, depth_mm=40.0, frequency_mhz=7.0, focus_mm=25.0, n_samples=384
    )
    return probe, diffus.pose.look_at(entry, entry + matrix @ along, lateral=matrix @ across)


def case24() -> None:
    """One patient: rendered from T1, from FLAIR and from both, beside the real ultrasound of that plane."""
    folder = DATA / "resect"
    names = {"cet1": "Case24-T1-inUS-0.5mm.nii.gz", "flair": "Case24-FLAIR-inUS-0.5mm.nii.gz"}
    volumes = {contrast: Volume.load(folder / name) for contrast, name in names.items()}
    real = Volume.load(folder / "Case24-US-before-0.5mm.nii.gz")
    mask = diffus.segmentation.brain_mask(volumes["cet1"], "cet1")
    probe, at = case24_view()
    figure = Figure(figsize=(19, 8.5), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey=True).flat
    fan_slice(volumes["cet1"], probe, at, ax=axes[0], margin_mm=4.0, title="T1")
    fan_slice(volumes["flair"], probe, at, ax=axes[1], margin_mm=4.0, title="FLAIR")
    fan_slice(real, probe, at, ax=axes[2], margin_mm=4.0, title="real ultrasound", outline=False)
    for position, contrasts in enumerate((("cet1",), ("flair",), ("cet1", "flair")), start=3):
        medium = Medium.from_mri({c: volumes[c] for c in contrasts}, mask=mask)
        # Images of 1 mm, resampled at 0.5 mm.
        frame = diffus.render(medium, probe, at, RenderSettings(boundary_voxels=2.5))
        title = "rendered from " + " and ".join(c.upper() for c in contrasts)
        plot.bmode(frame, ax=axes[position], decibel_bar=False, title=title)
    plot.save_figure(figure, PICTURES / "case24.png", dpi=DPI)
    LOG.info("case24")


def abdomen() -> None:
    """CT alone and CT with labels: ribs and spine are bright and cast shadows."""
    ct = Volume.load(DATA / "ct" / "totalseg_example_ct_sm.nii.gz")
    labels = Volume.load(DATA / "ct" / "totalseg_example_seg_for_ct_sm.nii.gz")
    body = diffus.segmentation.body_mask(ct)
    probe = diffus.preset("abdominal")
    at = diffus.on_surface(body, (70.0, 170.0, 125.0), "right")
    settings = RenderSettings(tgc_db_per_cm=4.5)
    row("ct", ct, Medium.from_ct(ct).coupled(body), probe, at, settings)
    row(
        "ct_labels", ct, Medium.from_labels(labels, "totalsegmentator", ct).coupled(body), probe, at, settings
    )


def main() -> None:
    """Draw everything that can be drawn here."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    embedded_brain()
    if not DATA.is_dir():
        LOG.warning("%s is not at hand: the pictures of real volumes are left as they are", DATA)
        return
    whole_head("hanke", "hanke_sub02_T1_0.7mm.nii.gz", "t1", "left", None)
    whole_head("vs_cet1", "VS-SEG-001_ceT1_0.82x0.82x1.5mm_derived.nii.gz", "cet1", "right", None)
    whole_head("colin27", "ch2_colin27_T1_1mm.nii.gz", "t1", "superior", (15.0, -10.0, 20.0))
    case24()
    abdomen()


if __name__ == "__main__":
    main()
