"""Probes by name and from JSON."""

from __future__ import annotations

import json

import pytest

from diffus.presets import PRESETS, PROBE_KINDS, load_probe, preset, probe_from_dict
from diffus.probe import ConvexProbe, LinearProbe


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_goes_round_through_json(name, tmp_path):
    probe = preset(name)
    path = tmp_path / "probe.json"
    path.write_text(json.dumps(probe.to_dict()))
    assert load_probe(path) == probe
    assert load_probe(name) == probe
    assert preset(name) is not probe


def test_there_is_a_kind_for_each_class():
    assert sorted(PROBE_KINDS) == ["convex", "linear", "phased", "radial"]
    assert {preset(name).kind for name in PRESETS} == set(PROBE_KINDS)


def test_the_craniotomy_probe_is_small_and_fine():
    probe = preset("craniotomy")
    assert isinstance(probe, ConvexProbe)
    assert float(probe.radius_mm) == pytest.approx(20, abs=5)
    assert 60 <= float(probe.field_of_view_deg) <= 70
    assert 5 <= float(probe.frequency_mhz) <= 8


def test_the_abdominal_probe_is_large_and_deep():
    probe = preset("abdominal")
    assert isinstance(probe, ConvexProbe)
    assert float(probe.radius_mm) >= 40
    assert float(probe.depth_mm) >= 120
    assert float(probe.frequency_mhz) <= 5


def test_fields_left_out_keep_their_defaults():
    assert probe_from_dict({"kind": "linear", "width_mm": 25}) == LinearProbe(width_mm=25)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "unknown probe kind None: expected one of 'convex'"),
        ({"kind": "curved"}, "unknown probe kind 'curved'"),
        ({"kind": "linear", "radius_mm": 3}, "unknown LinearProbe field 'radius_mm'"),
        ({"kind": "linear", "width_mm": "wide"}, "width_mm must be a number, got 'wide'"),
        ({"kind": "linear", "width_mm": -3}, "width_mm must be a finite number above 0"),
    ],
)
def test_other_content_is_refused(content, words):
    with pytest.raises(ValueError, match=words):
        probe_from_dict(content)


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match="unknown probe preset 'curved': expected one of 'craniotomy'"):
        preset("curved")
    with pytest.raises(ValueError, match=r"give a \.json file.*'curved'.*'craniotomy'"):
        load_probe("curved")


def test_missing_and_wrong_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="probe file not found"):
        load_probe(tmp_path / "none.json")
    path = tmp_path / "list.json"
    path.write_text("[1]")
    with pytest.raises(ValueError, match=r"list\.json: a probe file holds one JSON object, got list"):
        load_probe(path)
