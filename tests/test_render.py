"""The renderer against scenes whose image is known, and its gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from tests.scenes import IDENTITY, PROBES, TILTED, medium_of, moved, plane_at, textured, uniform
from torch import Tensor

import diffus
from diffus import LinearProbe, Medium, Probe, RadialProbe, RenderSettings, UltrasoundRenderer, pose, render
from diffus.render import VALUES_KEPT, poses_at_once

PLAIN = RenderSettings(propagation="primary", tgc_db_per_cm=0.0, gain_db=0.0, noise_db=None)
INTERFACES = PLAIN.with_options(speckle="none")


def middle_line(probe: Probe) -> int:
    """The scanline that runs along +z."""
    return 0 if isinstance(probe, RadialProbe) else probe.n_scanlines // 2


def start_z_mm(probe: Probe) -> float:
    return float(probe.scanlines().origins_mm[middle_line(probe), 2])


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("scene", [IDENTITY, TILTED], ids=["aligned", "tilted"])
def test_plane_interface_appears_at_its_depth(name: str, scene: Tensor) -> None:
    probe = PROBES[name]
    medium = moved(plane_at(30.0 + start_z_mm(probe)), scene)
    line = render(medium, probe, scene, INTERFACES).envelope[0, middle_line(probe)]
    step = float(probe.sample_spacing_mm)
    peak_mm = float(probe.sample_depths_mm()[line.argmax()])
    assert abs(peak_mm - 30.0) <= step / 2 + 1e-9
    centroid = float((line**2 * probe.sample_depths_mm()).sum() / (line**2).sum())
    assert abs(centroid - 30.0) < 0.1 * step


@pytest.mark.parametrize("name", PROBES)
def test_rigid_motion_of_scene_and_probe_changes_nothing(name: str) -> None:
    probe, medium = PROBES[name], textured()
    before = render(medium, probe, IDENTITY, PLAIN)
    after = render(moved(medium, TILTED), probe, TILTED, PLAIN)
    assert (before.scanlines - after.scanlines).abs().max() < 1e-9
    single = medium.to(torch.float32)
    difference = (
        render(single, probe, IDENTITY).scanlines - render(moved(single, TILTED), probe, TILTED).scanlines
    )
    assert difference.abs().max() < 1e-5


def test_sharp_interface_has_the_amplitude_of_its_reflection() -> None:
    # On a grid as fine as the samples a step lies between two nodes: the echo is r itself.
    probe = LinearProbe(width_mm=4.0, n_scanlines=3, n_samples=100, depth_mm=50.0, frequency_mhz=20.0)
    above, below = 1.5, 1.7

    def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.where(z > 29.9, below, above).to(z), 0 * z, 0 * z

    envelope = render(medium_of(fields), probe, IDENTITY, INTERFACES).envelope[0, 1]
    assert envelope.max().item() == pytest.approx((below - above) / (below + above), rel=1e-6)


@pytest.mark.parametrize(("attenuation", "frequency"), [(0.5, 4.0), (1.0, 6.0), (0.2, 9.0)])
def test_attenuation_slope_is_as_set(attenuation: float, frequency: float) -> None:
    probe = PROBES["linear"].with_options(frequency_mhz=frequency)
    envelope = render(uniform(attenuation), probe, IDENTITY, PLAIN).envelope[0, 4]
    decibel = 20 * torch.log10(envelope)
    a, b = 20, 80
    distance_cm = (b - a) * float(probe.sample_spacing_mm) / 10
    slope = float(decibel[a] - decibel[b]) / distance_cm
    assert slope == pytest.approx(2 * attenuation * frequency, abs=0.01)


def test_attenuation_exponent_raises_the_frequency_to_its_power() -> None:
    probe = PROBES["linear"].with_options(frequency_mhz=3.0)
    settings = PLAIN.with_options(attenuation_exponent=1.5)
    decibel = 20 * torch.log10(render(uniform(0.3), probe, IDENTITY, settings).envelope[0, 4])
    slope = float(decibel[20] - decibel[80]) / (60 * float(probe.sample_spacing_mm) / 10)
    assert slope == pytest.approx(2 * 0.3 * 3.0**1.5, abs=0.01)


def test_tgc_that_matches_the_attenuation_makes_a_uniform_tissue_level() -> None:
    probe = PROBES["convex"]
    settings = RenderSettings(tgc_db_per_cm=2 * 0.5 * float(probe.frequency_mhz), gain_db=10.0)
    shown = render(uniform(0.5, backscatter=0.01), probe, IDENTITY, settings).scanlines[0, :, 5:-5]
    expected = 1 + (20 * math.log10(0.01) + 10) / 60
    assert torch.allclose(shown, torch.full_like(shown, expected), atol=2e-3)


@pytest.mark.parametrize("n_elevation", [1, 3, 5])
def test_uniform_tissue_has_the_amplitude_of_its_backscatter(n_elevation: int) -> None:
    probe = PROBES["linear"].with_options(n_elevation=n_elevation)
    envelope = render(uniform(0.0, backscatter=0.02), probe, IDENTITY, PLAIN).envelope[0, :, 5:-5]
    assert torch.allclose(envelope, torch.full_like(envelope, 0.02), rtol=1e-6)


def test_transmission_through_an_interface_weakens_what_lies_behind() -> None:
    probe = PROBES["linear"]
    below = 3.0

    def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.where(z > 19.9, below, 1.5).to(z), 0 * z, 0 * z + 0.01

    envelope = render(medium_of(fields), probe, IDENTITY, PLAIN).envelope[0, 4]
    r = (below - 1.5) / (below + 1.5)
    assert float(envelope[70] / envelope[20]) == pytest.approx(1 - r**2, rel=1e-6)


def test_a_uniform_medium_without_scatterers_is_silent() -> None:
    frame = render(uniform(0.5, backscatter=0.0), PROBES["convex"], IDENTITY, RenderSettings(noise_db=None))
    assert float(frame.envelope.max()) <= 1e-12
    assert float(frame.scanlines.max()) == 0


def test_a_sphere_is_a_circle_in_millimetres() -> None:
    radius, depth = 8.0, 25.0
    probe = LinearProbe(width_mm=30.0, n_scanlines=121, n_samples=200, depth_mm=50.0)

    def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inside = (radius + 0.25 - torch.sqrt(x**2 + y**2 + (z - depth) ** 2)).clamp(0, 0.5) * 2
        return 0 * z + 1.6, 0 * z, 0.002 + 0.03 * inside

    frame = render(medium_of(fields), probe, IDENTITY, PLAIN)
    grid = frame.grid(spacing_mm=0.1)
    x, z = grid.centres_mm()
    bright = frame.cartesian(spacing_mm=0.1)[0] > 1 + 20 * math.log10(0.016) / 60
    width = float(x[bright].max() - x[bright].min()) + 0.1
    height = float(z[bright].max() - z[bright].min()) + 0.1
    assert width == pytest.approx(2 * radius, abs=0.5)
    assert height == pytest.approx(2 * radius, abs=0.5)
    assert float(bright.sum()) * 0.01 == pytest.approx(math.pi * radius**2, rel=0.04)
    assert float(z[bright].mean()) == pytest.approx(depth, abs=0.1)
    assert float(x[bright].mean()) == pytest.approx(0.0, abs=0.1)


def test_a_thin_target_beside_the_plane_is_seen_through_the_slice() -> None:
    def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return 0 * z + 1.6, 0 * z, 0.02 * (y - 4.0).abs().le(0.1).to(z)

    thin = PROBES["linear"].with_options(elevation_aperture_mm=3.0, elevation_focus_mm=10.0)
    deep = slice(60, 90)
    flat = render(medium_of(fields), thin, IDENTITY, PLAIN).envelope[..., deep].max()
    thick = (
        render(medium_of(fields), thin.with_options(n_elevation=7), IDENTITY, PLAIN).envelope[..., deep].max()
    )
    assert float(flat) <= 1e-12
    assert float(thick) > 1e-4


def test_a_batch_gives_what_its_poses_give_alone() -> None:
    medium, probe = textured(), PROBES["convex"]
    poses = torch.stack([IDENTITY, pose.exp(torch.tensor([3.0, -5.0, 8.0, 1.0, 2.0, -3.0]))])
    together = render(medium, probe, poses)
    assert together.scanlines.shape == (2, probe.n_scanlines, probe.n_samples)
    for number, single in enumerate(poses):
        assert torch.equal(render(medium, probe, single).scanlines[0], together.scanlines[number])


def test_the_module_renders_what_the_function_does_and_keeps_its_affine_exact() -> None:
    medium, probe = moved(textured(torch.float32), TILTED), PROBES["phased"]
    renderer = UltrasoundRenderer(medium, probe)
    expected = render(medium, probe, TILTED)
    assert torch.equal(renderer(TILTED).scanlines, expected.scanlines)
    assert renderer.double().world_from_voxel.dtype == torch.float64
    assert torch.equal(renderer.float().world_from_voxel, medium.world_from_voxel)


def test_beyond_the_border_tissue_is_black_and_the_border_makes_no_echo() -> None:
    probe = PROBES["linear"]
    medium = medium_of(lambda x, y, z: (0 * z + 1.6, 0 * z, 0 * z + 0.01), z_mm=(-5.0, 20.0))
    line = render(medium, probe, IDENTITY, PLAIN).envelope[0, 4]
    assert torch.allclose(line[5:36], torch.full_like(line[5:36], 0.01), rtol=1e-6)
    assert float(line[45:].max()) <= 1e-12


@pytest.mark.parametrize("speckle", ["expected", "sampled"])
def test_a_cap_on_memory_splits_the_batch_and_changes_no_bit(speckle: str) -> None:
    medium, probe = textured(torch.float32), PROBES["convex"].with_options(n_elevation=2, n_samples=300)
    gains = torch.linspace(0.0, 12.0, 5)
    settings = RenderSettings(speckle=speckle, gain_db=gains)
    needed = VALUES_KEPT * probe.n_scanlines * (probe.n_samples + 1) * 3 * 4 / 1e6
    capped = settings.with_options(max_memory_mb=2.5 * needed)
    assert poses_at_once(probe, capped, 4) == 2
    found = []
    for choice in (settings, capped):
        tangents = 0.1 * torch.arange(30, dtype=torch.float64).reshape(5, 6)
        tangents.requires_grad_()
        frame = render(medium, probe, pose.perturb(IDENTITY.expand(5, 4, 4), tangents), choice)
        frame.scanlines.square().sum().backward()
        found.append((frame.scanlines.detach(), frame.envelope.detach(), tangents.grad))
    (shown, envelope, gradient), (shown_in_parts, envelope_in_parts, gradient_in_parts) = found
    assert torch.equal(shown, shown_in_parts) and torch.equal(envelope, envelope_in_parts)
    assert gradient is not None and gradient_in_parts is not None
    # Sums over scanlines in the gradient are PyTorch's own, in an order of its choice.
    assert torch.allclose(gradient, gradient_in_parts, rtol=1e-4, atol=1e-4)


def test_a_cap_below_one_pose_says_what_is_needed() -> None:
    settings = RenderSettings(max_memory_mb=1.0)
    probe = PROBES["convex"].with_options(n_scanlines=192, n_samples=512)
    with pytest.raises(ValueError, match=r"max_memory_mb=1 is too little for one pose.*about \d+ MB"):
        render(textured(torch.float32), probe, IDENTITY, settings)


def test_sampled_images_through_a_thick_slice_average_to_the_expected_one() -> None:
    # Scatterers on one side of the plane alone: each plane of the slice must give its own power.
    probe = LinearProbe(
        width_mm=10.0, n_scanlines=24, n_samples=80, depth_mm=20.0, frequency_mhz=4.0, n_elevation=5
    )
    medium = medium_of(lambda x, y, z: (0 * z + 1.6, 0 * z, 0.01 * torch.sigmoid(y - 1.0)), z_mm=(-5.0, 30.0))
    settings = PLAIN.with_options(speckle="sampled", scatterers_per_mm3=8.0)
    expected = render(medium, probe, IDENTITY, PLAIN).envelope ** 2
    total = torch.zeros_like(expected)
    for seed in range(60):
        total += render(medium, probe, IDENTITY, settings.with_options(seed=seed)).envelope ** 2
    blocks = [
        10 * torch.log10(t[:, :, 8:-8].reshape(1, 3, 8, 4, 16).mean(dim=(2, 4)))
        for t in (total / 60, expected)
    ]
    assert float((blocks[0] - blocks[1]).abs().max()) < 0.5


# ------------------------------------------------------------------------------------------------ gradients

TANGENT = torch.tensor([4.0, -3.0, 6.0, 0.7, -0.4, 0.9], dtype=torch.float64)
WIDE = RenderSettings(dynamic_range_db=150.0, gain_db=20.0)
"""Nothing is clipped, so that every value has a gradient."""


@pytest.mark.parametrize("name", PROBES)
def test_gradcheck_pose(name: str) -> None:
    probe = PROBES[name].with_options(n_scanlines=5, n_samples=24, n_elevation=2)
    medium = textured()

    def image(tangent: Tensor) -> Tensor:
        return render(medium, probe, pose.perturb(IDENTITY, tangent), WIDE).scanlines

    assert torch.autograd.gradcheck(image, (TANGENT.clone().requires_grad_(),), atol=1e-6, rtol=1e-4)


def test_gradcheck_medium() -> None:
    probe = LinearProbe(width_mm=6.0, n_scanlines=4, n_samples=12, depth_mm=12.0)
    shape = (4, 3, 6)
    affine = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([-4.5, -3.0, -1.0])
    generator = torch.Generator().manual_seed(3)
    maps = [
        base * (1 + 0.2 * torch.rand(shape, generator=generator, dtype=torch.float64))
        for base in (1.5, 0.5, 0.01)
    ]

    def image(*values: Tensor) -> Tensor:
        return render(Medium(*values, affine), probe, IDENTITY, WIDE).scanlines

    assert torch.autograd.gradcheck(image, tuple(m.requires_grad_() for m in maps), atol=1e-6, rtol=1e-4)


CONTINUOUS_PROBE_FIELDS = (
    "depth_mm",
    "frequency_mhz",
    "fractional_bandwidth",
    "focus_mm",
    "aperture_mm",
    "elevation_focus_mm",
    "elevation_aperture_mm",
    "speed_of_sound_m_s",
)
GEOMETRY_FIELDS = {
    "linear": ("width_mm", "steering_deg"),
    "convex": ("radius_mm", "field_of_view_deg"),
    "phased": ("field_of_view_deg", "steering_deg"),
    "radial": ("radius_mm",),
}


@pytest.mark.parametrize(
    ("name", "field"),
    [("convex", f) for f in CONTINUOUS_PROBE_FIELDS]
    + [(name, field) for name, several in GEOMETRY_FIELDS.items() for field in several],
)
def test_gradcheck_probe_fields(name: str, field: str) -> None:
    # A close look, where pulse and beam are wider than samples and scanlines.
    close = {"linear": {"width_mm": 1.5}, "radial": {}}.get(name, {"field_of_view_deg": 4.0})
    probe = PROBES[name].with_options(n_scanlines=5, n_samples=24, depth_mm=4.0, n_elevation=2, **close)
    medium, at = textured(), pose.exp(TANGENT)

    def images(value: Tensor) -> tuple[Tensor, Tensor]:
        frame = render(medium, probe.with_options(**{field: value}), at, WIDE)
        return frame.scanlines, frame.cartesian(shape=(16, 16))

    value = torch.tensor(float(getattr(probe, field)), dtype=torch.float64, requires_grad=True)

    def scanlines(value: Tensor) -> Tensor:
        return images(value)[0]

    assert torch.autograd.gradcheck(scanlines, (value,), atol=1e-6, rtol=1e-4)
    assert value.grad is None
    render(medium, probe.with_options(**{field: value}), at, WIDE).scanlines.sum().backward()
    assert value.grad is not None and float(value.grad) != 0


BY_POSE = [("gain_db", 20.0), ("tgc_db_per_cm", 3.0), ("dynamic_range_db", 150.0)]


@pytest.mark.parametrize(
    ("field", "value", "by_pose"),
    [
        ("attenuation_exponent", 1.1, False),
        ("specular_angle_deg", 25.0, False),
        ("boundary_voxels", 2.0, False),
    ]
    + [("noise_db", -60.0, False), ("face_reflection", 0.2, False)]
    + [(*row, by_pose) for row in BY_POSE for by_pose in (False, True)],
)
def test_gradcheck_settings(field: str, value: float, by_pose: bool) -> None:
    probe = PROBES["convex"].with_options(n_scanlines=5, n_samples=24)
    medium, poses = textured(), torch.stack([IDENTITY, pose.exp(TANGENT)])
    start = torch.full((2,) if by_pose else (), value, dtype=torch.float64, requires_grad=True)

    def image(number: Tensor) -> Tensor:
        return render(medium, probe, poses, WIDE.with_options(**{field: number})).scanlines

    assert torch.autograd.gradcheck(image, (start,), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("field", "values"), [("tgc_curve_db", (0.0, 6.0, -3.0)), ("grey_map", (0.02, 0.3, 0.7, 0.98))]
)
def test_gradcheck_curves(field: str, values: tuple[float, ...]) -> None:
    probe = PROBES["convex"].with_options(n_scanlines=5, n_samples=24)
    medium, knots = textured(), torch.tensor(values, dtype=torch.float64, requires_grad=True)

    def image(curve: Tensor) -> Tensor:
        return render(medium, probe, IDENTITY, WIDE.with_options(**{field: curve})).scanlines

    assert torch.autograd.gradcheck(image, (knots,), atol=1e-6, rtol=1e-4)


@pytest.fixture(scope="module")
def brain_medium() -> Medium:
    pytest.importorskip("nilearn", reason="the example brain needs the extra [demo]")
    return Medium.from_tissue_maps(diffus.datasets.example_brain()).to(torch.float64)


def central_difference(function, step: float) -> float:
    return float(function(step) - function(-step)) / (2 * step)


@pytest.fixture(scope="module")
def brain_scene(brain_medium: Medium):
    """A smooth score of a frame of the example brain, with random weights."""
    probe = diffus.preset("craniotomy").with_options(n_scanlines=48, n_samples=128)
    at = pose.look_at((-62.0, -20.0, 40.0), (0.0, -20.0, 10.0))
    weights = torch.rand(48, 128, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def score(medium: Medium, tangent: Tensor) -> Tensor:
        return (render(medium, probe, pose.perturb(at, tangent)).scanlines[0] * weights).sum()

    return score


def test_brain_pose_gradient_agrees_with_central_differences(brain_medium: Medium, brain_scene) -> None:
    tangent = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(brain_scene(brain_medium, tangent), tangent)
    for axis in range(6):
        direction = torch.zeros(6, dtype=torch.float64)
        direction[axis] = 1.0
        measured = central_difference(lambda h, d=direction: brain_scene(brain_medium, h * d), 1e-6)
        assert float(gradient[axis]) == pytest.approx(measured, rel=1e-3), f"tangent component {axis}"


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_brain_map_gradient_agrees_with_central_differences(
    brain_medium: Medium, brain_scene, channel: int
) -> None:
    channels = brain_medium.channels.detach()
    direction = torch.zeros_like(channels)
    generator = torch.Generator().manual_seed(channel)
    texture = torch.rand(brain_medium.shape, generator=generator, dtype=torch.float64) - 0.5
    direction[..., channel] = channels[..., channel] * texture
    zero = torch.zeros(6, dtype=torch.float64)

    def along(step: float) -> Tensor:
        return brain_scene(
            Medium.from_channels(channels + step * direction, brain_medium.world_from_voxel), zero
        )

    leaf = channels.clone().requires_grad_()
    score = brain_scene(Medium.from_channels(leaf, brain_medium.world_from_voxel), zero)
    (gradient,) = torch.autograd.grad(score, leaf)
    predicted = float((gradient * direction).sum())
    assert predicted == pytest.approx(central_difference(along, 1e-6), rel=1e-3)


# -------------------------------------------------------------------------------------------- sampled speckle

SAMPLED = PLAIN.with_options(speckle="sampled")


def test_sampled_speckle_scatters_about_the_expected_image() -> None:
    probe = LinearProbe(width_mm=12.0, n_scanlines=32, n_samples=160, depth_mm=20.0, frequency_mhz=5.0)
    medium = uniform(0.3, backscatter=0.01)
    expected = render(medium, probe, IDENTITY, PLAIN).envelope[..., 20:-20]
    images = [
        render(medium, probe, IDENTITY, SAMPLED.with_options(seed=seed)).envelope[..., 20:-20]
        for seed in range(6)
    ]
    assert not torch.equal(images[0], images[1])
    ratio = torch.stack([(image**2).mean() for image in images]).mean() / (expected**2).mean()
    assert abs(10 * math.log10(float(ratio))) < 0.3
    assert float(images[0].mean() / images[0].std()) < 2.5  # speckle: 1.9 for a level image


def test_sampled_speckle_is_the_same_when_seen_twice_and_moves_with_everything() -> None:
    probe, medium = PROBES["convex"], uniform(0.3, backscatter=0.01)
    first = render(medium, probe, IDENTITY, SAMPLED).envelope
    assert torch.equal(first, render(medium, probe, IDENTITY, SAMPLED).envelope)
    twice = render(medium, probe, torch.stack([IDENTITY, IDENTITY]), SAMPLED).envelope
    assert torch.equal(twice[1], first[0])


def test_interface_and_speckle_keep_their_interference_when_the_probe_is_pushed_in() -> None:
    probe = LinearProbe(width_mm=8.0, n_scanlines=16, n_samples=400, depth_mm=40.0, frequency_mhz=5.0)
    step = float(probe.sample_spacing_mm)

    def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return 1.5 + 0.004 * (z > 20).to(z), 0 * z, 0 * z + 0.0005

    medium = medium_of(fields)
    # By 0.1 mm, two thirds of half a wavelength: a carrier that stayed behind would turn by 230 degrees.
    pushed = pose.exp(torch.tensor([0.0, 0, 0, 0, 0, step]))
    before, after = (render(medium, probe, at, SAMPLED).envelope[0, :, 50:-50] for at in (IDENTITY, pushed))
    assert torch.allclose(before[:, 1:], after[:, :-1], rtol=0.02, atol=0.02 * float(before.max()))


def test_gradcheck_medium_through_sampled_speckle() -> None:
    probe = LinearProbe(width_mm=6.0, n_scanlines=4, n_samples=24, depth_mm=12.0, frequency_mhz=3.0)
    settings = WIDE.with_options(speckle="sampled")
    base = textured()

    def image(scale: Tensor) -> Tensor:
        medium = Medium(
            base.impedance, base.attenuation * scale[0], base.backscatter * scale[1], base.world_from_voxel
        )
        return render(medium, probe, IDENTITY, settings).envelope

    scale = torch.ones(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(image, (scale,), atol=1e-8, rtol=1e-4)
