"""Simulated datasets: their layout, and that what is written beside them is the truth."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.datasets.scenes import SETTINGS, head, simulated
from tests.segmentation.phantoms import phantom

from diffus import Medium, Volume, pose, render
from diffus.datasets import remind2reg
from diffus.datasets.appearance import appearance_of
from diffus.datasets.simulate import simulate_dataset
from diffus.datasets.simulated_head import DEFAULT_TISSUES, open_head
from diffus.datasets.simulated_sweep import rigid_offset, sweep_poses
from diffus.datasets.simulation_settings import SimulationSettings
from diffus.files import read_json
from diffus.io.volumes import read_raw
from diffus.presets import probe_from_dict
from diffus.settings import RenderSettings

CASES = ("ReMIND2Reg_0000", "ReMIND2Reg_0001")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("simulated"))


def _truth(folder: Path, case: str) -> dict[str, object]:
    return read_json(folder / "truth" / f"{case}.json", "truth")


def _offset(folder: Path, case: str) -> torch.Tensor:
    return torch.tensor(_truth(folder, case)["mri_from_ultrasound"], dtype=torch.float64)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_layout_is_that_of_the_real_dataset(folder: Path, shared_data: Path) -> None:
    made = read_json(folder / "ReMIND2Reg_dataset.json", "dataset")
    real = read_json(shared_data / "remind2reg" / "ReMIND2Reg_dataset.json", "dataset")
    assert set(made) - set(real) == {"tensorImageSpacing"}
    assert made["modality"] == real["modality"]
    for key in ("training", "training_paired_images", "registration_val"):
        assert set(made[key][0]) == set(real[key][0])
        names = [str(next(iter(content[key][0].values()))) for content in (made, real)]
        assert len({re.sub(r"\d{4}", "N", name) for name in names}) == 1
    assert made["training_paired_images"] == [
        {"fixed": f"./imagesTr/{CASES[0]}_0000.nii.gz", "moving": f"./imagesTr/{CASES[0]}_000{number}.nii.gz"}
        for number in (1, 2)
    ]
    assert [pair["fixed"] for pair in made["registration_val"]] == [f"./imagesTr/{CASES[1]}_0000.nii.gz"] * 2
    evaluation = read_json(folder / "ReMIND2Reg_VAL_evaluation_config.json", "evaluation")
    known = read_json(shared_data / "remind2reg" / "ReMIND2Reg_VAL_evaluation_config.json", "evaluation")
    assert set(evaluation) == set(known)
    assert evaluation["evaluation_methods"] == known["evaluation_methods"]
    assert evaluation["expected_shape"] == [48, 48, 48, 3]


def test_ultrasound_is_bytes_and_looks_like_ultrasound(folder: Path) -> None:
    for case in CASES:
        path = folder / "imagesTr" / f"{case}_0000.nii.gz"
        ultrasound = Volume.load(path)
        assert read_raw(path).stored_as == "uint8"
        assert 0.5 < float((ultrasound.data == 0).float().mean()) < 0.97
        assert float(ultrasound.data.max()) > 120
        assert appearance_of(ultrasound).votes >= 2
        for number in (1, 2):
            mri = Volume.load(folder / "imagesTr" / f"{case}_000{number}.nii.gz")
            assert appearance_of(mri).roughness < appearance_of(ultrasound).roughness


def test_landmarks_meet_under_the_hidden_offset(folder: Path) -> None:
    for case, split in zip(CASES, ("training", "validation"), strict=True):
        pair = remind2reg.open_dataset(folder, split)[0]
        marks, offset = pair.landmarks, _offset(folder, case)
        assert marks is not None
        assert len(marks) == SETTINGS.n_landmarks
        assert marks.tre_mm(offset) < 1e-4
        assert marks.tre_mm() > 0.5
        support = Volume(pair.ultrasound.data > 0, pair.ultrasound.world_from_voxel)
        assert bool((support.sample(marks.ultrasound_mm) > 0.9).all())
        assert bool(pair.contrasts["cet1"].contains(marks.mri_mm).all())
        apart = torch.pdist(marks.mri_mm)
        assert float(apart.min()) >= 4


def test_the_ultrasound_lies_where_the_truth_says(folder: Path) -> None:
    case = CASES[0]
    truth = _truth(folder, case)
    maps = {
        channel: Volume.load(folder / "truth" / f"{case}_{channel}.nii.gz")
        for channel in ("impedance", "attenuation", "backscatter")
    }
    place = maps["impedance"].world_from_voxel
    medium = Medium(**{name: volume.data for name, volume in maps.items()}, world_from_voxel=place)
    ultrasound = Volume.load(folder / "imagesTr" / f"{case}_0000.nii.gz")
    probe = probe_from_dict(truth["probe"])  # pyright: ignore[reportArgumentType]
    ultrasound_from_probe = torch.tensor(truth["ultrasound_from_probe"], dtype=torch.float64)[8]
    points = probe.sample_points_mm() @ ultrasound_from_probe[:3, :3].T + ultrasound_from_probe[:3, 3]
    seen = ultrasound.sample(points.float())
    inside = (seen > 0) & (probe.sample_depths_mm() > 3)
    said = truth["render_settings"]
    assert isinstance(said, dict)
    settings = RenderSettings(**said).with_options(speckle="expected")

    def likeness(mri_from_ultrasound: torch.Tensor) -> float:
        at = mri_from_ultrasound @ ultrasound_from_probe
        expected = render(medium, probe, at, settings).scanlines[0]
        return float(torch.corrcoef(torch.stack([expected[inside], seen[inside]]))[0, 1])

    right = likeness(_offset(folder, case))
    assert right > 0.8
    away = pose.exp(torch.tensor([0.0, 0.0, 0.0, 4.0, 4.0, 4.0]))
    assert right > likeness(away @ _offset(folder, case)) + 0.05


def test_the_mri_shows_the_head_that_was_given(folder: Path) -> None:
    pair = remind2reg.open_dataset(folder)[0]
    given = head().images["cet1"]
    index = (pair.contrasts["cet1"].data > 0).nonzero()[::37].double()
    place = pair.contrasts["cet1"].world_from_voxel
    world = index @ place[:3, :3].T + place[:3, 3]
    values = torch.stack(
        [
            given.sample(world.float()),
            pair.contrasts["cet1"].sample(world.float()),
            pair.contrasts["t2"].sample(world.float()),
        ]
    )
    brain = values[2] > 0
    likeness = torch.corrcoef(values[:, brain])
    assert float(likeness[0, 1]) > 0.999
    assert float(likeness[0, 2]) < -0.6  # what is bright on T1 is dark on T2


def test_a_cut_run_goes_on_and_gives_the_same(folder: Path, tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    told: list[tuple[str, int, int]] = []

    def cut(case: str, done: int, most: int) -> None:
        told.append((case, done, most))
        if done == 1:
            raise CutError

    def run(progress: Callable[[str, int, int], None]) -> None:
        simulate_dataset(tmp_path, head(), "t1", SETTINGS, progress)

    with pytest.raises(CutError):
        run(cut)
    assert told == [(CASES[0], 0, 2), (CASES[1], 1, 2)]
    # What is there is a whole dataset of one case.
    assert [case.case for case in remind2reg.list_cases(tmp_path)] == [CASES[0]]
    assert not remind2reg.list_cases(tmp_path)[0].missing
    first = tmp_path / "imagesTr" / f"{CASES[0]}_0000.nii.gz"
    written = first.stat().st_mtime_ns
    run(lambda *_: None)
    assert first.stat().st_mtime_ns == written
    assert _bytes(tmp_path) == _bytes(folder)


def test_another_simulation_is_not_mixed_in(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="simulation of other settings"):
        simulate_dataset(folder, head(), "t1", replace(SETTINGS, seed=3))
    (tmp_path / "ReMIND2Reg_dataset.json").write_text("{}")
    with pytest.raises(ValueError, match="was not simulated"):
        simulate_dataset(tmp_path, head(), "t1", SETTINGS)


def test_cases_lack_contrasts_and_nothing_is_hidden_on_request(tmp_path: Path) -> None:
    settings = replace(
        SETTINGS, cases=1, validation=0, missing_share=1.0, hidden_variation=0.0, case_variation=0.0
    )
    (case,) = remind2reg.list_cases(simulated(tmp_path, settings))
    assert len(case.contrasts) == 1
    hidden = _truth(tmp_path, CASES[0])["hidden"]
    assert hidden == DEFAULT_TISSUES.to_dict(tuple(hidden["tissues"]))  # pyright: ignore


def test_hidden_values_spread_as_they_are_told() -> None:
    generator = torch.Generator().manual_seed(0)
    table = DEFAULT_TISSUES.table
    sigmas = {"attenuation_db_per_cm_mhz": 0.2, "backscatter": 0.2, "density_kg_m3": 0.004}
    drawn = [DEFAULT_TISSUES.varied(0.2, generator) for _ in range(200)]
    for name in ("grey_matter", "csf"):
        for field, sigma in sigmas.items():
            logs = [
                np.log(getattr(hidden.table[name], field) / getattr(table[name], field)) for hidden in drawn
            ]
            assert np.std(logs) == pytest.approx(sigma, rel=0.15)
            assert abs(np.mean(logs)) < 0.25 * sigma


def test_a_sweep_is_steady_and_crosses_its_planes() -> None:
    middle = pose.exp(torch.tensor([30.0, 20.0, -70.0, 5.0, 6.0, 7.0]))
    poses = sweep_poses(middle, 41, 40.0, torch.Generator().manual_seed(0))
    way = ((poses[:, :3, 3] - middle[:3, 3]) @ middle[:3, 1]).diff()
    assert float(way.sum()) == pytest.approx(39, abs=3)
    assert float(way.min()) > 0
    shift, turn = pose.distance(poses[1:], poses[:-1])
    assert float(shift.max()) < 2
    assert float(turn.max()) < 2


def test_an_offset_turns_about_its_point() -> None:
    about = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64)
    drawn = torch.stack(
        [rigid_offset(1.5, 3.0, about, torch.Generator().manual_seed(seed)) for seed in range(300)]
    )
    moved = pose.transform_points(drawn, about[None].expand(300, 1, 3))[:, 0] - about
    assert float(moved.std()) == pytest.approx(1.5, rel=0.1)
    assert float(pose.log(drawn)[:, :3].std()) == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cases": 0}, "cases must lie in"),
        ({"validation": 5}, "validation must lie in"),
        ({"size": 10}, "size must lie in"),
        ({"spacing_mm": 0.0}, "spacing_mm must be"),
        ({"size": 30, "spacing_mm": 0.3}, "size times spacing_mm must lie in"),
        ({"missing_share": 1.5}, "missing_share must lie in"),
        ({"offset_deg": 90.0}, "offset_deg must lie in"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(SimulationSettings(), **changes)


def test_a_head_from_its_mri_alone() -> None:
    known = phantom(4.0, head=False)
    found = open_head(known.mri("t1", noise=0.02), "t1")
    assert list(found.images) == ["cet1"]
    for name in ("grey_matter", "white_matter"):
        both = torch.stack([found.maps.fractions[name].data.flatten(), known.fractions[name].flatten()])
        assert float(torch.corrcoef(both)[0, 1]) > 0.8, name


def test_heads_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown contrast of the MRI to simulate from 'flair'"):
        open_head(head().mask, "flair")
    with pytest.raises(FileNotFoundError):
        open_head(tmp_path / "none.nii.gz")
