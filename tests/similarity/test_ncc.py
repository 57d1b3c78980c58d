"""NCC against NumPy's correlation coefficient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.similarity.pairs import blob_mask, related, texture

from diffus.similarity import ncc


@pytest.mark.parametrize("shape", [(3, 20, 31), (2, 6, 7, 8)])
def test_whole_images_and_volumes(shape: tuple[int, ...]) -> None:
    moving, fixed = related(*shape, seed=1)
    expected = [
        np.corrcoef(m.ravel(), f.ravel())[0, 1] for m, f in zip(moving.numpy(), fixed.numpy(), strict=True)
    ]
    assert torch.allclose(ncc(moving, fixed), torch.tensor(expected, dtype=torch.float64), rtol=1e-12)


def test_weights_are_repetitions() -> None:
    moving, fixed = related(2, 15, 16, seed=2)
    weights = (4 * blob_mask(2, 15, 16, seed=3)).round() / 4
    for item in range(2):
        times = (4 * weights[item]).long().flatten().numpy()
        repeated = [np.repeat(image[item].flatten().numpy(), times) for image in (moving, fixed)]
        expected = np.corrcoef(np.stack(repeated))[0, 1]
        assert float(ncc(moving, fixed, weights)[item]) == pytest.approx(expected, rel=1e-12)


def test_known_values() -> None:
    image = texture(1, 9, 9, seed=4)
    assert float(ncc(image, 3 * image + 8)) == pytest.approx(1.0)
    assert float(ncc(image, 8 - 3 * image)) == pytest.approx(-1.0)
    ramp = torch.arange(4.0, dtype=torch.float64).expand(1, 4, 4)
    assert float(ncc(ramp, ramp.transpose(1, 2))) == pytest.approx(0.0, abs=1e-12)


def test_faint_contrast_is_not_taken_for_constant() -> None:
    """Impedances of brain: 1.6 MRayl, a contrast of a hundredth."""
    image = texture(1, 30, 30, seed=5, dtype=torch.float32)
    assert float(ncc(1.6 + 0.01 * image, image)) == pytest.approx(1.0, abs=1e-4)
    assert float(ncc(1.6 + 1e-7 * image, image)) == 0.0
