"""Refusals: each names what was given and what was expected."""

from __future__ import annotations

import math

import pytest
import torch

from diffus.checks import require_in_range, require_one_of, require_positive, require_shape


@pytest.mark.parametrize("value", [1, 0.5, 1e-9, torch.tensor(2.0), torch.tensor(2.0, requires_grad=True)])
def test_positive_numbers_pass(value):
    require_positive("Probe", depth_mm=value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (-1.5, "-1.5"), (math.nan, "nan"), (math.inf, "inf"), ("wide", "'wide'"), (None, "None")],
)
def test_what_is_not_positive_is_refused_by_name(value, shown):
    with pytest.raises(ValueError, match=rf"Probe: depth_mm must be .*{shown}"):
        require_positive("Probe", width_mm=1.0, depth_mm=value)


def test_a_range_is_closed():
    require_in_range("Probe", 0, 180, a=0, b=180, c=90.0)


@pytest.mark.parametrize("value", [-1e-9, 180.001, math.nan, "a"])
def test_outside_the_range_is_refused(value):
    with pytest.raises(ValueError, match="Probe: angle must"):
        require_in_range("Probe", 0, 180, angle=value)


def test_unknown_options_are_refused_listing_the_known():
    require_one_of("contrast", "t1", ["t1", "t2"])
    with pytest.raises(ValueError, match="unknown contrast 't3': expected one of 't1', 't2'"):
        require_one_of("contrast", "t3", iter(["t1", "t2"]))


def test_shapes_are_printed_both():
    require_shape("pose", (4, 4), "(4, 4)", True)
    with pytest.raises(ValueError, match=r"pose: expected shape \(4, 4\), got \(3, 3\)"):
        require_shape("pose", torch.Size([3, 3]), "(4, 4)", False)
