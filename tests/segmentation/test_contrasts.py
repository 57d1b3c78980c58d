"""The table of contrasts: consistent with itself and with the tissue table."""

from __future__ import annotations

import pytest

from diffus import TISSUES
from diffus.segmentation.contrasts import BASE_CLASSES, CONTRASTS, contrast_named


@pytest.mark.parametrize("contrast", CONTRASTS.values(), ids=lambda contrast: contrast.name)
def test_levels_rise_and_classes_are_tissues(contrast) -> None:
    assert sorted(contrast.rising) == sorted(BASE_CLASSES)
    assert list(contrast.levels) == sorted(contrast.levels)
    assert all(name in TISSUES for name in (*contrast.rising, *([contrast.above] if contrast.above else [])))


def test_fluid_is_dark_but_on_t2() -> None:
    assert [CONTRASTS[name].rising.index("csf") for name in ("t1", "cet1", "flair", "t2")] == [0, 0, 0, 2]


def test_an_unknown_contrast_lists_the_known() -> None:
    with pytest.raises(ValueError, match="'t1', 'cet1', 't2', 'flair'"):
        contrast_named("pd")
