"""One scanline in depth: the lines that are drawn are what the renderer computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from tests.scenes import IDENTITY, PROBES, plane_at, textured

from diffus import RenderSettings, propagation, render
from diffus.plot.scanline import PANELS, scanline
from diffus.plot.scanline_curves import scanline_curves
from diffus.scanline_sampling import sample_scanline_medium

PLAIN = RenderSettings(specular_angle_deg=None, noise_db=None, backend="torch")
PROBE = PROBES["convex"]


def test_echoes_of_every_model_are_those_of_propagation() -> None:
    medium, line = textured(), 3
    curves = scanline_curves(medium, PROBE, IDENTITY, line, PLAIN)
    sampled = sample_scanline_medium(medium, PROBE, IDENTITY[None], "torch")
    impedance, attenuation = sampled.impedance[0, 0, line], sampled.attenuation[0, 0, line]
    step_cm = float(PROBE.depth_mm) / PROBE.n_samples / 10
    thickness = torch.full((PROBE.n_samples,), step_cm, dtype=torch.float64)
    thickness[0] /= 2
    absorbed_db = attenuation[:-1] * float(PROBE.frequency_mhz) * thickness
    for model in propagation.MODELS:
        expected = propagation.echoes(impedance, model=model, loss=10 ** (-absorbed_db / 20), backend="torch")
        assert torch.allclose(curves.echoes[model], expected, rtol=1e-10, atol=1e-14), model
    assert torch.allclose(curves.attenuation_db, 2 * absorbed_db.cumsum(0))
    r = (impedance[1:] - impedance[:-1]) / (impedance[1:] + impedance[:-1])
    assert torch.allclose(curves.reflection, r)
    through = torch.cat([torch.ones(1).double(), (1 - r[:-1] ** 2).cumprod(0)])
    assert torch.allclose(curves.transmission, through)
    frame = render(medium, PROBE, IDENTITY, PLAIN)
    assert torch.equal(curves.displayed, frame.scanlines[0, line])
    assert torch.equal(curves.envelope, frame.envelope[0, line])


def test_a_border_echoes_at_its_depth_with_its_own_strength() -> None:
    curves = scanline_curves(plane_at(30.0, 1.5, 1.7), PROBES["linear"], IDENTITY, settings=PLAIN)
    strongest = int(curves.echoes["primary"].abs().argmax())
    assert float(curves.depths_mm[strongest]) == pytest.approx(30.0, abs=0.5)
    assert float(curves.reflection.sum()) == pytest.approx(0.2 / 3.2, rel=1e-3)
    assert (float(curves.impedance[0]), float(curves.impedance[-1])) == (1.5, 1.7)


def test_what_is_drawn_is_what_was_computed() -> None:
    figure = scanline(textured(), PROBE, IDENTITY, -2, settings=PLAIN)
    curves = scanline_curves(textured(), PROBE, IDENTITY, 7, PLAIN)
    picture, *axes = figure.axes
    panels = dict(zip(PANELS, axes, strict=True))
    drawn = {str(line.get_label()).split()[0]: line for line in panels["echoes"].lines}
    for model in propagation.MODELS:
        level = np.asarray(drawn[model].get_ydata())
        shown = np.isfinite(level)
        assert shown.any()
        assert np.allclose(level[shown], 20 * np.log10(curves.echoes[model].abs().numpy()[shown]))
        assert np.array_equal(drawn[model].get_xdata(), PROBE.sample_depths_mm().numpy())
    assert np.allclose(panels["displayed"].lines[0].get_ydata(), curves.displayed)
    assert np.allclose(panels["transmission"].lines[0].get_ydata(), 100 * curves.transmission)
    assert all(ax.get_xlim() == (0, 48) for ax in axes)
    assert axes[-1].get_xlabel().endswith("(mm)") and picture.get_xlabel().endswith("(mm)")
    start, end = np.asarray(picture.lines[0].get_xydata())
    lines = PROBE.scanlines()
    assert np.allclose(start, lines.origins_mm[7, [0, 2]])
    assert np.allclose(end, lines.origins_mm[7, [0, 2]] + 48 * lines.directions[7, [0, 2]])


def test_a_thick_slice_shows_the_mean_of_its_planes() -> None:
    thick = PROBE.with_options(n_elevation=3)
    curves = scanline_curves(textured(), thick, IDENTITY, 4, PLAIN)
    sampled = sample_scanline_medium(textured(), thick, IDENTITY[None], "torch")
    expected = (sampled.impedance[0, :, 4] * sampled.elevation_weights[:, None]).sum(0)
    assert torch.allclose(curves.impedance, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((IDENTITY, 9), "scanline 9: the probe has 9, give an index from 0 to 8"),
        ((IDENTITY, -10), "scanline -10"),
        ((IDENTITY.repeat(2, 1, 1), 0), r"expected shape \(4, 4\), one pose"),
    ],
)
def test_refuses_what_it_cannot_follow(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scanline(textured(), PROBE, *arguments, settings=PLAIN)


def test_draws_on_the_axes_it_is_given() -> None:
    axes = Figure().subplots(len(PANELS), 1)
    assert scanline(textured(), PROBE, IDENTITY, settings=PLAIN, axes=list(axes)) is axes[0].figure
    with pytest.raises(ValueError, match=r"axes: expected shape \(7,\), got \(2,\)"):
        scanline(textured(), PROBE, IDENTITY, settings=PLAIN, axes=list(axes[:2]))
