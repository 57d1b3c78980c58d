"""Gradient maps: where they lie, colours alike to both sides of zero, downhill in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from tests.scenes import IDENTITY, PROBES
from tests.support import as_users_run

from diffus import Volume
from diffus.mixing import CHANNELS
from diffus.plot.gradients import PANELS, downhill, gradient_maps, image_derivative, pose_gradient
from diffus.registration.gradients import LossGradients

PROBE = PROBES["convex"]


def gradients(tangent: tuple[float, ...] = (0.1, -0.2, 0, 0.3, 0, -0.4)) -> LossGradients:
    """One voxel at (10, 0, 30) with a gradient of -2, and one at (-10, 0, 20) with 1."""
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, 3] = torch.tensor([-40.0, -2.0, -10.0])
    data = torch.zeros(81, 5, 81)
    data[50, 2, 40], data[30, 2, 30] = -2.0, 1.0
    maps = dict.fromkeys(CHANNELS, Volume(data, affine))
    return LossGradients(
        0.5, **maps, tangent=torch.tensor(tangent).double(), probe=PROBE, world_from_probe=IDENTITY
    )


def test_maps_lie_in_their_place_with_even_colours() -> None:
    axes = gradient_maps(gradients()).axes[: len(PANELS)]
    for ax, name in zip(axes, CHANNELS, strict=False):
        (image,) = ax.images
        values = np.asarray(image.get_array())
        left, right, bottom, top = image.get_extent()
        for value, place in ((values.argmin(), (10, 30)), (values.argmax(), (-10, 20))):
            row, column = divmod(int(value), values.shape[1])
            x = left + (column + 0.5) * (right - left) / values.shape[1]
            z = top + (row + 0.5) * (bottom - top) / values.shape[0]
            assert (x, z) == pytest.approx(place, abs=0.5)
        low, high = image.get_clim()
        assert low == -high < 0
        assert name in ax.get_title() and ax.get_xlabel().endswith("(mm)")
    bars = [bar.get_width() for bar in axes[-1].patches if isinstance(bar, Rectangle)]
    assert np.allclose(bars, gradients().tangent)


def test_downhill_in_words() -> None:
    # In the identity pose x is right, y anterior, z superior.
    assert downhill(gradients()) == "it falls by 0.5/mm towards superior-left"
    assert downhill(gradients((1, 1, 1, 0, 0.2, 0))) == "it falls by 0.2/mm towards posterior"
    assert downhill(gradients((0.0,) * 6)) == "no shift makes it smaller"
    assert "0.5" in pose_gradient(gradients()).get_title()


def test_the_derivative_of_an_image_fills_the_sector() -> None:
    values = torch.linspace(-1, 3, PROBE.n_samples).expand(PROBE.n_scanlines, -1)
    ax = image_derivative(values, PROBE, "turn_x_deg")
    (image,) = ax.images
    assert image.get_clim()[0] == -image.get_clim()[1]
    shown = np.ma.filled(np.ma.asarray(image.get_array()), np.nan)
    assert np.isnan(shown[0, 0]), "nothing beside the sector"
    assert shown[-3, shown.shape[1] // 2] > shown[5, shown.shape[1] // 2]
    assert ax.get_title() == "tilt out of the image plane, about x"
    with pytest.raises(ValueError, match=r"values: expected shape \(9, 96\), those of the probe"):
        image_derivative(values[:2], PROBE, "turn_x_deg")
    with pytest.raises(ValueError, match="unknown degree of freedom"):
        image_derivative(values, PROBE, "x")


def test_draws_on_given_axes_and_where_all_is_zero() -> None:
    axes = Figure().subplots(1, 4)
    empty = gradients((0.0,) * 6)
    for name in CHANNELS:
        getattr(empty, name).data.zero_()
    assert gradient_maps(empty, list(axes)) is axes[0].figure
    with as_users_run(), pytest.raises(ValueError, match=r"axes: expected shape \(4,\), got \(1,\)"):
        gradient_maps(empty, [axes[0]])
