"""Registration of one frame: where the probe was when an ultrasound image was taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from diffus.frame import Frame
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.inputs import checked_target
from diffus.registration.options import SearchOptions
from diffus.registration.outcome import result_of
from diffus.registration.priors import Prior
from diffus.registration.result import RegistrationResult
from diffus.registration.search import search
from diffus.registration.steps import Progress
from diffus.settings import RenderSettings

DEFAULT_OPTIONS = SearchOptions()


def register(
    frame: Frame | Float[Tensor, "*B S N"],
    medium: Medium,
    probe: Probe | None = None,
    initial: Any = None,
    *,
    mask: Bool[Tensor, "S N"] | Float[Tensor, "S N"] | None = None,
    priors: Sequence[Prior] = (),
    settings: RenderSettings | None = None,
    options: SearchOptions = DEFAULT_OPTIONS,
    progress: Progress | None = None,
) -> RegistrationResult:
    """Find the pose at which the rendered image resembles a frame most.

    The mean image over speckle is rendered and compared on the scanlines. Poses around the initial one are
    surveyed coarsely, the best descend by Gauss-Newton, and those that do badly are given up stage by stage.
    Gain, TGC, attenuation and shadows need not be known: see `objective`.

    Args:
        frame: one image, rendered or real: a `Frame`, or display values in [0, 1] on the scanlines of the
            probe (`diffus.imaging.scan_conversion.to_scanlines` takes a real image there).
        medium: what the waves travelled through.
        probe: that of the frame; by default the one the frame carries.
        initial: ``world_from_probe`` to look around, (4, 4); by default the pose that the frame carries, as a
            tracker left it.
        mask: what to compare on the scanlines, bool or weights in [0, 1].
        priors: what is known of the pose, see `priors`.
        settings: how to render; by default `RenderSettings`, with expected speckle in any case.
        options: how far to look and from how many starts.
        progress: told of each stage.

    Returns:
        the pose with its covariance and a verdict; look at ``result.verdict`` before using it.

    Raises:
        ValueError: for more than one image, NaN or a constant image, an empty mask, an image that does not
            fit the probe, an initial pose that is not rigid or whose fan misses the medium.
    """
    target, start = checked_target(frame, medium, probe, initial, mask, settings)
    if len(target.fixed) != 1:
        raise ValueError(
            f"register takes one image, got {len(target.fixed)}: register frame[0], or a whole sweep with "
            "diffus.registration.register_sweep"
        )
    # The sweep of one frame has the probe's own frame.
    found = search(target, start[0], options, priors, progress)
    return result_of(found, target, start[0], found.pose[None], options, priors)
