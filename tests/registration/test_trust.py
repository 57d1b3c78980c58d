"""A frame of the medium itself is explained by it; one of another is not."""

from __future__ import annotations

import torch
from tests.registration.scene import PROBE, TRUTH, medium, sampled, target

import diffus
from diffus import Medium, RenderSettings
from diffus.registration.stages import WHOLE_TISSUE
from diffus.registration.trust import TRUSTED, Trust, trust_at


def test_speckle_alone_leaves_as_much_as_it_should() -> None:
    seen = target(sampled(seed=5).scanlines)
    found = trust_at(seen, TRUTH, seen.objective(WHOLE_TISSUE))
    assert found.trusted
    assert 0.5 < found.attainable < 1
    assert abs(found.score - found.attainable) < 0.08


def test_another_medium_leaves_more() -> None:
    own = medium()
    other = Medium(own.impedance, own.attenuation, 0.021 - own.backscatter, own.world_from_voxel)
    frame = diffus.render(other, PROBE, TRUTH, RenderSettings(speckle="sampled", seed=5))
    seen = target(frame.scanlines)
    found = trust_at(seen, TRUTH, seen.objective(WHOLE_TISSUE))
    assert found.excess > 1.5 * TRUSTED
    assert not found.trusted


def test_excess_is_a_ratio_of_variances_and_no_less_than_one() -> None:
    assert Trust(0.9, 0.8).excess == 1
    assert abs(Trust(0.5, 0.8).excess - 0.75 / 0.36) < 1e-12
    assert torch.isfinite(torch.tensor(Trust(0.5, 1.0).excess))
