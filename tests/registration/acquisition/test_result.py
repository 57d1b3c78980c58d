"""What is refused, and a result written, read back and said in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.registration.scene import PROBE, TRUTH, medium, sampled
from tests.support import as_users_run

from diffus import LinearProbe, RenderSettings
from diffus.registration import SettingsResult, recover_settings
from diffus.registration.acquisition.result import _NUMBERS
from diffus.registration.acquisition.unknowns import Acquisition, Unknowns
from diffus.registration.acquisition.verdict import Estimate, estimates_of, open_combinations


@pytest.fixture(scope="module")
def result() -> SettingsResult:
    settings = RenderSettings(tgc_curve_db=(0.0, 0.0), grey_map=(0.0, 0.5, 1.0))
    return recover_settings(
        sampled().scanlines,
        medium(),
        PROBE,
        TRUTH,
        settings=settings,
        free=("gain_db", "attenuation_slope", "aperture_mm"),
        attenuation_slope=1.1,
    )


def test_is_read_back_as_it_was_written(result: SettingsResult, tmp_path: Path) -> None:
    back = SettingsResult.load(result.save(tmp_path / "found.npz"))
    assert back.probe == result.probe
    assert back.settings == result.settings
    assert back.estimates == result.estimates
    assert torch.equal(back.covariance, result.covariance)
    assert torch.equal(back.world_from_probe, result.world_from_probe)
    assert back.summary() == result.summary()
    assert all(getattr(back, name) == getattr(result, name) for name in _NUMBERS)


def test_refuses_what_is_no_result(result: SettingsResult, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.npz"):
        result.save(tmp_path / "found.json")
    with pytest.raises(FileNotFoundError, match="not found"):
        SettingsResult.load(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", header=np.array("{}"))
    with pytest.raises(ValueError, match="is not a settings file"):
        SettingsResult.load(tmp_path / "other.npz")
    path = result.save(tmp_path / "cut.npz")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="is not a settings file"):
        SettingsResult.load(path)


def test_refuses_a_newer_version(
    result: SettingsResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffus.registration.acquisition.result.FILE_VERSION", 2)
    path = result.save(tmp_path / "new.npz")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="version 2"):
        SettingsResult.load(path)


def test_says_what_was_found(result: SettingsResult) -> None:
    words = result.summary()
    assert "aperture_mm" in words
    assert "determined" in words
    assert "did not come to rest" not in words
    assert "did not come to rest" in replace(result, converged=False).summary()
    assert result["gain_db"].start == 0.0
    with pytest.raises(KeyError, match="gain_db, attenuation_slope, aperture_mm were"):
        result["focus_mm"]


def test_the_medium_attenuates_as_was_found(result: SettingsResult) -> None:
    found = result.medium(medium())
    assert torch.allclose(found.attenuation, result.attenuation_slope * medium().attenuation)
    assert torch.equal(found.impedance, medium().impedance)
    assert torch.equal(found.backscatter, medium().backscatter)
    assert replace(result, attenuation_slope=1.0).medium(medium()) is medium()


# --------------------------------------------------------------------------- verdicts


def estimate(name: str, determined: bool = False) -> Estimate:
    return Estimate(name, 1.0, 1.0, 0.3, 0.05, determined)


def test_open_combinations_in_words() -> None:
    covariance = torch.tensor([[0.01, -0.0099, 0], [-0.0099, 0.01, 0], [0, 0, 0.01]], dtype=torch.float64)
    three = [estimate("first"), estimate("second"), estimate("third")]
    assert (
        open_combinations(three, covariance)
        == (
            "first against second, by 2.8 tolerances",
            "third, by 2.0 tolerances",
        )
        or open_combinations(three, covariance)[0] == "second against first, by 2.8 tolerances"
    )
    assert open_combinations([estimate(n, True) for n in "abc"], covariance) == ()
    assert open_combinations(three, covariance / 100) == ()


def unknowns(*names: str, **settings: Any) -> Unknowns:
    return Unknowns(names, Acquisition(PROBE, RenderSettings(**settings), 1.0, TRUTH[None]))


def test_what_the_image_says_nothing_of_keeps_what_was_known() -> None:
    both = unknowns("frequency_mhz", "gain_db")
    matrix = torch.diag(torch.tensor([0.0, 100.0], dtype=torch.float64))
    (frequency, gain), covariance = estimates_of(both, both.coordinates(), matrix, True)
    assert frequency.sigma == pytest.approx(0.5 * 5.0)
    assert not frequency.determined
    assert gain.sigma == pytest.approx(0.1, rel=1e-3)
    assert gain.determined
    assert covariance[1, 1] == pytest.approx(gain.sigma**2)
    at_rest, _ = estimates_of(both, both.coordinates(), matrix, False)
    assert not at_rest[1].determined


def test_a_value_at_its_bound_is_not_determined() -> None:
    one = unknowns("tgc_db_per_cm", tgc_db_per_cm=0.0)
    found, _ = estimates_of(one, one.coordinates(), 1e6 * torch.eye(1, dtype=torch.float64), True)
    assert found[0].sigma < found[0].tolerance
    assert not found[0].determined


def test_coordinates_make_the_acquisition() -> None:
    start = Acquisition(PROBE, RenderSettings(tgc_curve_db=(1.0, 2.0, 3.0)), 1.0, TRUTH[None])
    several = Unknowns(("depth_mm", "tgc_curve_db", "attenuation_slope"), start, with_pose=True)
    coordinates = several.coordinates()
    same = several.acquisition(coordinates)
    assert same.settings.tgc_curve_db == (1.0, 2.0, 3.0)
    assert torch.allclose(same.poses, TRUTH[None])
    coordinates[0] += 0.1
    coordinates[2] += 5.0
    coordinates[-1] += 2.0
    other = several.acquisition(coordinates)
    assert other.probe.depth_mm == pytest.approx(40.0 * 2.718281828**0.1)
    assert other.settings.tgc_curve_db == (1.0, 7.0, 3.0)
    along = TRUTH[:3, 2]
    assert torch.allclose(other.poses[0, :3, 3], TRUTH[:3, 3] + 2.0 * along)


# --------------------------------------------------------------------------- refusals


def _nan() -> torch.Tensor:
    shown = sampled().scanlines.clone()
    shown[0, 3, 4] = torch.nan
    return shown


FLAT = RenderSettings(tgc_curve_db=(0.0, 0.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frame": _nan()}, "holds 1 NaN"),
        ({"frame": torch.full((64, 256), 0.5)}, "frame 0 is constant"),
        ({"frame": 255 * sampled().scanlines}, r"expected display values in \[0, 1\]"),
        ({"frame": sampled().scanlines[:, :20]}, "scanlines and samples of the probe"),
        ({"mask": torch.zeros(64, 256)}, "mask is empty"),
        ({"probe": None}, "carries no probe"),
        ({"world_from_probe": None}, "carries no pose"),
        ({"world_from_probe": TRUTH.expand(3, 4, 4)}, "expected one pose or 1"),
        ({"world_from_probe": 2 * TRUTH}, "last row"),
        ({"free": ()}, "nothing to recover"),
        ({"free": "gain_db"}, "expected a sequence of names"),
        ({"free": ("gian_db",)}, "unknown setting 'gian_db': expected some of frequency_mhz, .*gain_db"),
        ({"free": ("width_mm",)}, "a ConvexProbe has no width_mm; it has .*radius_mm"),
        ({"free": ("tgc_curve_db",)}, "start from a flat curve"),
        ({"settings": RenderSettings(gain_db=195.0)}, "expected a start between -190 and 190, got 195"),
        ({"settings": RenderSettings(gain_db=torch.tensor([1.0, 2.0]))}, "settings.gain_db: expected one"),
        ({"settings": RenderSettings(speckle_reduction=0.5)}, "give grain=False"),
        ({"priors": {"focus_mm": 1.0}}, "'focus_mm' is not sought; expected some of gain_db"),
        ({"priors": {"gain_db": 0.0}}, "gain_db must be a finite number above 0"),
        ({"attenuation_slope": -1.0}, "attenuation_slope must be a finite number above 0"),
        (
            {"frame": sampled().scanlines.expand(2, -1, -1), "with_pose": True},
            "seeks the pose of one image, got 2",
        ),
    ],
)
def test_refuses(change, words) -> None:
    arguments = {"frame": sampled().scanlines, "probe": PROBE, "world_from_probe": TRUTH} | change
    arguments = {"free": ("gain_db",)} | arguments
    frame = arguments.pop("frame")
    with as_users_run(), pytest.raises(ValueError, match=words):
        recover_settings(frame, medium(), **arguments)


def test_a_linear_probe_has_no_radius() -> None:
    with pytest.raises(ValueError, match=r"a LinearProbe has no radius_mm; it has .*width_mm"):
        Unknowns(("radius_mm",), Acquisition(LinearProbe(), FLAT, 1.0, TRUTH[None]))
