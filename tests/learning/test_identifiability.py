"""Training finds the curves that frames were rendered from, as far as frames tell them."""

from __future__ import annotations

import pytest
from benchmarks.learned.made_here import recover


@pytest.mark.slow
def test_hidden_curves_are_found_within_five_percent() -> None:
    curves, counted = recover("rayleigh", steps=160)
    for channel, before, after in (("backscatter", 0.5, 0.05), ("attenuation", 0.2, 0.05)):
        curve = curves[channel]
        # The level is left free: that of backscatter is gain, that of attenuation TGC.
        assert curve.errors("before", counted)[1] > before
        assert curve.errors("found", counted)[1] < after
