"""Whole scenes in one call: a frame in its anatomy, and a registration."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.frame import Frame
from diffus.registration.result import RegistrationResult
from diffus.scene.parts import Colour
from diffus.scene.scene import Scene
from diffus.tissue_maps import TissueMaps
from diffus.volume import Volume

# Told apart by every kind of colour vision (Okabe and Ito's palette).
INITIAL: Colour = (0.80, 0.40, 0.0)
FOUND: Colour = (0.0, 0.45, 0.70)
TRUTH: Colour = (0.0, 0.62, 0.45)


def of_frame(
    frame: Frame,
    volume: Volume | TissueMaps | None = None,
    *,
    which: int = 0,
    surface: str | None = None,
    slices: bool = False,
    background: str = "light",
) -> Scene:
    """A B-mode image where it was taken, with the probe, in the anatomy.

    Args:
        frame: whose image.
        volume: an MRI, a mask or tissue maps, of which the surface is shown; None for the frame alone.
        which: image of the frame. Of several, the path of all poses is shown, too.
        surface: what of the volume: ``brain``, ``head``, ``body`` or ``mask``, as in `Scene.add_surface`.
        slices: whether to show the volume in the image plane, around the sector.
        background: light, white or dark.

    Raises:
        ValueError: as `Scene.add_surface` and `Scene.add_fan_slice`.
    """
    scene = Scene(background)
    image = _add_anatomy(scene, volume, surface)
    scene.add_frame(frame, which)
    if len(frame) > 1:
        scene.add_poses(frame.world_from_probe)
    if slices and image is not None:
        scene.add_fan_slice(image, frame.probe, frame.world_from_probe[which].detach().cpu())
    return scene


def of_registration(
    result: RegistrationResult,
    frame: Frame,
    volume: Volume | TissueMaps | None = None,
    *,
    which: int = 0,
    truth: Float64[Tensor, "4 4"] | Any = None,
    surface: str | None = None,
    body: bool = False,
    background: str = "light",
) -> Scene:
    """A registration in the anatomy: where it began, its way, and the image where it was found to lie.

    Args:
        result: of `register` or `register_sweep`.
        frame: what was registered.
        volume: as in `of_frame`.
        which: image of the sweep.
        truth: the true ``world_from_probe`` of that image, where it is known.
        surface: as in `of_frame`.
        body: whether to show the probe itself, at the pose that was found; it hides much of the way.
        background: light, white or dark.

    Raises:
        ValueError: as `of_frame`.
    """
    scene = Scene(background)
    _add_anatomy(scene, volume, surface)
    one = frame[which].detach()
    found = result.world_from_probe[which]
    sweep_from_probe = pose.inverse(result.world_from_sweep) @ found
    initial, way = result.initial @ sweep_from_probe, result.trajectory @ sweep_from_probe
    there = Frame(one.scanlines, one.envelope, one.probe, found[None], one.settings)
    scene.add_frame(there, body=body, colour=FOUND, name="found")
    scene.add_probe(one.probe, initial, body=False, colour=INITIAL, name="initial")
    if truth is not None:
        true = pose.from_matrix(truth).detach().cpu()
        scene.add_probe(one.probe, true, body=False, colour=TRUTH, name="truth")
    steps = torch.cat([initial[None], way, found[None]])
    return scene.add_poses(steps, beam_mm=6.0, radius_mm=0.4, most_arrows=12, labels=None)


def _add_anatomy(scene: Scene, volume: Volume | TissueMaps | None, surface: str | None) -> Volume | None:
    """Add the surface; the image that slices are cut from."""
    if volume is None:
        return None
    if isinstance(volume, TissueMaps):
        scene.add_surface(volume.mask, name="brain", opacity=0.3)
        return volume.image
    scene.add_surface(volume, surface, opacity=0.3)
    return volume
