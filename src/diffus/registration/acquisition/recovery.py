"""Acquisition settings from a frame: frequency, bandwidth, focus, gain, TGC, dynamic range, sector, and pose.

The scatterers of a real frame are not known, so that what is compared is its statistics under fully developed
speckle: brightness by patches, and how much neighbouring samples differ (`evidence`). The descent is
that of Levenberg and Marquardt, from large patches to small ones; standard deviations come from the same
derivatives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffus.checks import require_positive
from diffus.frame import Frame
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.acquisition.evidence import PERFECT, Evidence, Misfit, Observed
from diffus.registration.acquisition.fit import Fit, descend, information
from diffus.registration.acquisition.result import SettingsResult
from diffus.registration.acquisition.unknowns import Acquisition, Unknowns
from diffus.registration.acquisition.verdict import estimates_of
from diffus.registration.inputs import checked_target
from diffus.registration.steps import Progress
from diffus.registration.target import Target
from diffus.scalars import along_curve, number
from diffus.settings import RenderSettings

DISPLAY = ("gain_db", "tgc_db_per_cm", "dynamic_range_db")
"""What a scanner's knobs change and its file does not say."""
_STAGES = ((6.0, 30), (3.0, 20), (2.0, 20))
"""Sides of the patches in mm, coarse to fine, and steps at most."""
_CURVES = ("tgc_curve_db", "grey_map")


@torch.no_grad()
def recover_settings(
    frame: Frame | Float[Tensor, "*F S N"],
    medium: Medium,
    probe: Probe | None = None,
    world_from_probe: Any = None,
    *,
    settings: RenderSettings | None = None,
    free: Sequence[str] = DISPLAY,
    with_pose: bool = False,
    attenuation_slope: float = 1.0,
    priors: Mapping[str, float] | None = None,
    mask: Bool[Tensor, "S N"] | Float[Tensor, "S N"] | None = None,
    grain: bool = True,
    progress: Progress | None = None,
) -> SettingsResult:
    """Find the settings with which a frame was made, and say which of them it determines.

    Those that can be sought (`unknowns.KINDS`): ``frequency_mhz``, ``fractional_bandwidth``,
    ``focus_mm``, ``aperture_mm``; the sector's ``depth_mm``, ``radius_mm``, ``field_of_view_deg`` or
    ``width_mm``; ``attenuation_slope``, a factor on the medium's attenuation in dB/cm/MHz, and
    ``attenuation_exponent``; ``gain_db``, ``tgc_db_per_cm``, ``tgc_curve_db``, ``dynamic_range_db``. Start
    within about 30 %, sector geometry within 15 %: `diffus.imaging.sector.find_sector` measures it in the
    pixels of a real image.

    Args:
        frame: images of one acquisition: a `Frame`, or display values in [0, 1] on the probe's scanlines.
        medium: what the waves travelled through.
        probe: where to start, and what is held; by default the one the frame carries.
        world_from_probe: pose (4, 4) or one for each image; by default those that the frame carries.
        settings: where to start, and what is held; by default those that the frame carries, or
            `RenderSettings`. Where ``tgc_db_per_cm`` is None and not sought, TGC follows the frequency.
        free: names of what is sought; everything else is believed.
        with_pose: whether to seek the pose too, which is then to be known to a few mm and degrees.
        attenuation_slope: where to start.
        priors: standard deviations about the start by name, in the setting's own unit, for what is known
            better than to a factor of 1.6 (gain and sliders: 20 dB; TGC: 5 dB/cm; pose: 5 mm and degrees).
        mask: what to compare on the scanlines, bool or weights in [0, 1]. Leave out shadows and text.
        grain: whether the speckle is as it was received. Give False for images that were smoothed or
            interpolated, whose grain says nothing of pulse and beam.
        progress: told of each stage.

    Returns:
        values with standard deviations and verdicts; look at ``result.determined`` before using them.

    Raises:
        ValueError: for no or unknown names, a setting that the probe has not, a start beyond what is allowed,
            NaN or a constant image, an empty mask, images that do not fit the probe, a pose that is not rigid
            or whose fan misses the medium, and several images where the pose is sought.
    """
    if isinstance(frame, Frame):
        settings = settings or frame.settings
    require_positive("recover_settings", attenuation_slope=attenuation_slope)
    target, poses = checked_target(frame, medium, probe, world_from_probe, mask, settings)
    _check_settings(target.settings, grain)
    start = Acquisition(target.probe, target.settings, attenuation_slope, _poses_of(target, poses, with_pose))
    unknowns = Unknowns(free, start, with_pose=with_pose, priors=priors)
    observed = Observed(_levels(target), target.weights.cpu(), grain)
    fit, evidence, misfit = _fitted(observed, medium.to("cpu"), unknowns, progress)
    matrix = information(evidence, unknowns, fit.coordinates, misfit.brightness_db)
    estimates, covariance = estimates_of(unknowns, fit.coordinates, matrix, fit.arrived)
    found = unknowns.acquisition(fit.coordinates)
    return SettingsResult(
        probe=found.probe,
        settings=found.settings,
        attenuation_slope=found.attenuation_slope,
        world_from_probe=found.poses,
        estimates=estimates,
        covariance=covariance,
        misfit_of_levels=misfit.levels,
        misfit_of_grain=misfit.grain,
        brightness_error_db=misfit.brightness_db,
        converged=fit.arrived,
    )


def _fitted(
    observed: Observed, medium: Medium, unknowns: Unknowns, progress: Progress | None
) -> tuple[Fit, Evidence, Misfit]:
    """The last descent, and the evidence around where it ended with its misfit."""
    at, misfit, fit = unknowns.coordinates(), PERFECT, None
    for stage, (patch_mm, steps) in enumerate(_STAGES):
        if progress is not None:
            progress("settings", stage, len(_STAGES))
        evidence = Evidence(observed, medium, unknowns.acquisition(at), patch_mm, misfit)
        fit = descend(evidence, unknowns, at, steps)
        at, misfit = fit.coordinates, evidence.misfit(unknowns.acquisition(fit.coordinates))
    assert fit is not None
    evidence = Evidence(observed, medium, unknowns.acquisition(at), _STAGES[-1][0], misfit)
    if progress is not None:
        progress("settings", len(_STAGES), len(_STAGES))
    return fit, evidence, misfit


def _levels(target: Target) -> Tensor:
    """Display values before the grey map."""
    curve = target.settings.grey_map
    if curve is None:
        return target.fixed.cpu()
    values = torch.as_tensor(curve).to(target.fixed)
    return along_curve(curve, target.fixed.clamp(values[0], values[-1])).cpu()


def _poses_of(target: Target, poses: Tensor, with_pose: bool) -> Tensor:
    count = len(target.fixed)
    if with_pose and count > 1:
        raise ValueError(
            f"recover_settings seeks the pose of one image, got {count}: give one, or hold their poses"
        )
    if len(poses) not in (1, count):
        raise ValueError(
            f"world_from_probe: expected one pose or {count}, one for each image, got {len(poses)}"
        )
    return poses.expand(count, 4, 4)


def _check_settings(settings: RenderSettings, grain: bool) -> None:
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, Tensor) and value.ndim and field.name not in _CURVES:
            raise ValueError(
                f"settings.{field.name}: expected one number for all images, got shape {tuple(value.shape)}"
            )
    if grain and number(settings.speckle_reduction) > 0:
        raise ValueError(
            f"settings.speckle_reduction is {number(settings.speckle_reduction):g}: smoothed speckle has not "
            "the grain of pulse and beam; give grain=False, or speckle_reduction=0"
        )
