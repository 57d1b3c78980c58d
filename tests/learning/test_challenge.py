"""Learn2Reg's format and metrics, against their definitions computed another way."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d, map_coordinates
from tests.datasets.scenes import SETTINGS, simulated
from tests.support import placed

from diffus import Volume, pose
from diffus.datasets import remind2reg
from diffus.datasets.landmarks import read_points
from diffus.files import read_json
from diffus.learning import challenge

SPACING = (0.5, 0.6, 0.7)


def _field(shape: tuple[int, int, int] = (70, 12, 9), scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(0).standard_normal((*shape, 3))


def _points(shape: tuple[int, int, int], count: int = 40) -> np.ndarray:
    points = np.random.default_rng(1).random((count, 3)) * (np.array(shape) - 1)
    points[0], points[1], points[2] = 0, np.array(shape) - 1, np.array(shape) // 2
    points[3] = (0.01, shape[1] - 1.01, shape[2] - 1.5)
    return points


def _reference_errors(field: np.ndarray, fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """The published formula, with the interpolation that the evaluation uses."""
    moved = fixed + np.stack([map_coordinates(field[..., c], fixed.T) for c in range(3)], axis=1)
    return np.sqrt((((moved - moving) * np.array(SPACING)) ** 2).sum(axis=1))


def _reference_determinants(field: np.ndarray) -> np.ndarray:
    grid = np.moveaxis(np.indices(field.shape[:3]).astype(float), 0, -1) + field
    columns = [correlate1d(grid, [-0.5, 0, 0.5], axis=axis) for axis in range(3)]
    return np.linalg.det(np.stack(columns, axis=-1))[2:-2, 2:-2, 2:-2]


def test_errors_of_landmarks() -> None:
    field = _field()
    fixed, moving = _points(field.shape[:3]), _points(field.shape[:3])[::-1].copy()
    found = challenge.landmark_errors_mm(
        torch.from_numpy(field), torch.from_numpy(fixed), torch.from_numpy(moving), SPACING
    )
    assert np.abs(found - _reference_errors(field, fixed, moving)).max() < 1e-9


def test_outside_the_field_nothing_moves() -> None:
    field = _field()
    fixed = np.array([[-0.5, 3.0, 3.0], [3.0, 11.2, 3.0]])
    found = challenge.landmark_errors_mm(field, torch.from_numpy(fixed), torch.zeros(2, 3), SPACING)
    assert found == pytest.approx(_reference_errors(field, fixed, np.zeros((2, 3))))
    assert found == pytest.approx(np.linalg.norm(fixed * SPACING, axis=1))


@pytest.mark.parametrize("scale", [0.05, 1.0, 3.0])
def test_jacobians_and_foldings(scale: float) -> None:
    field = _field((12, 11, 10), scale)
    expected = _reference_determinants(field)
    assert challenge.jacobian_determinants(field) == pytest.approx(expected, abs=1e-9)
    fixed = torch.from_numpy(_points((12, 11, 10)))
    score = challenge.score_field(torch.from_numpy(field), fixed, fixed + 1, SPACING)
    shifted = np.clip(expected + 3, 1e-9, 1e9)
    assert score.sd_log_jacobian == pytest.approx(float(np.log(shifted).std()), abs=1e-6)
    assert score.foldings == int((expected <= 0).sum())
    assert (score.foldings > 0) == (scale >= 1)


def test_the_mean_of_the_worst_third_and_the_aggregates() -> None:
    errors = tuple(float(n) for n in (3, 1, 10, 2, 9, 5, 4, 8, 6, 7))
    score = challenge.Score(errors, 0.1, 0)
    assert score.tre_mm == 5.5
    assert score.tre30_mm == 9
    assert challenge.Score((2.0, 1.0), 0.1, 0).tre30_mm == 2
    scores = [challenge.Score((value,), 0.1 * value, 0) for value in (1.0, 2.0, 3.0, 5.0)]
    summary = challenge.summarise(scores)
    assert summary.tre_mm == pytest.approx((2.75, np.std([1, 2, 3, 5]), np.quantile([1, 2, 3, 5], 0.7)))
    assert summary.sd_log_jacobian[0] == pytest.approx(0.275)
    with pytest.raises(ValueError, match="no scores"):
        challenge.summarise([])


def test_the_field_of_a_rigid_transform() -> None:
    ultrasound = Volume(torch.zeros(7, 8, 9), placed((0.5, 0.6, 0.7)))
    mri = Volume(torch.zeros(9, 9, 9), placed((0.8, 0.5, 0.9), (3.0, 4.0, 5.0), left_handed=True))
    transform = pose.exp(torch.tensor([5.0, -3.0, 8.0, 2.0, 1.0, -4.0]))
    field = challenge.displacement_from_rigid(transform, ultrasound, mri)
    for index in ([0, 0, 0], [6, 7, 8], [3, 1, 5]):
        voxel = torch.tensor([*index, 1.0], dtype=torch.float64)
        world = transform @ ultrasound.world_from_voxel @ voxel
        expected = (mri.voxel_from_world @ world - voxel)[:3]
        assert torch.allclose(field[tuple(index)].double(), expected, atol=1e-4)


def test_a_simulated_dataset_is_scored_through_files(tmp_path: Path) -> None:
    folder = simulated(tmp_path / "made")
    pair = remind2reg.open_dataset(folder, "validation")[0]
    truth = read_json(folder / "truth" / f"{pair.case}.json", "truth")
    evaluation = read_json(folder / "ReMIND2Reg_VAL_evaluation_config.json", "evaluation")
    assert pair.landmarks is not None
    for entry, contrast, modality in zip(evaluation["eval_pairs"], ("cet1", "t2"), (1, 2), strict=True):
        name = challenge.field_name(entry["fixed"], entry["moving"])
        assert name == f"disp_0001_0000_0001_000{modality}"
        fixed, moving = (read_points(p) for p in remind2reg.landmark_files(folder, pair.case, modality))
        mri = pair.contrasts[contrast]
        field = challenge.displacement_from_rigid(
            torch.tensor(truth["mri_from_ultrasound"]), pair.ultrasound, mri
        )
        assert list(field.shape) == evaluation["expected_shape"]
        saved = challenge.save_field(tmp_path / f"{name}.nii.gz", field, pair.ultrasound.world_from_voxel)
        score = challenge.score_field(challenge.load_field(saved), fixed, moving, mri.spacing_mm)
        assert score.tre_mm < 1e-4
        assert score.foldings == 0
        assert score.sd_log_jacobian < 1e-5
        zeros = challenge.score_field(torch.zeros_like(field), fixed, moving, mri.spacing_mm)
        assert zeros.tre_mm == pytest.approx(pair.landmarks.tre_mm(), abs=1e-5)
        assert zeros.sd_log_jacobian == pytest.approx(0, abs=1e-12)
    assert SETTINGS.n_landmarks == len(pair.landmarks)


@pytest.mark.parametrize("extension", [".nii.gz", ".npz"])
def test_fields_come_back(tmp_path: Path, extension: str) -> None:
    field = torch.from_numpy(_field().astype(np.float32))
    affine = placed((0.5, 0.5, 0.5))
    path = challenge.save_field(tmp_path / f"disp_0099_0000_0099_0001{extension}", field, affine)
    assert torch.equal(challenge.load_field(path), field)
    if extension == ".npz":
        with np.load(path) as archive:
            assert len(archive.files) == 1
            assert archive[archive.files[0]].shape == tuple(field.shape)
    else:
        image = nibabel.load(path)
        assert image.shape == tuple(field.shape)  # pyright: ignore
        assert np.allclose(image.affine, affine, atol=1e-4)  # pyright: ignore


def test_a_real_field(shared_data: Path) -> None:
    path = shared_data / "remind2reg" / "disp_0099_0000_0099_0001.nii.gz"
    assert path.name.startswith(
        challenge.field_name("./imagesTr/ReMIND2Reg_0099_0000.nii.gz", "ReMIND2Reg_0099_0001.nii.gz") + "."
    )
    field = challenge.load_field(path)
    assert tuple(field.shape) == (256, 256, 256, 3)
    assert not bool(field.any())


def test_what_is_refused(tmp_path: Path) -> None:
    field, affine = torch.zeros(6, 6, 6, 3), torch.eye(4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"takes \.nii\.gz or \.npz"):
        challenge.save_field(tmp_path / "a.nrrd", field, affine)
    with pytest.raises(ValueError, match="holds NaN or Inf"):
        challenge.save_field(tmp_path / "a.npz", field / 0, affine)
    with pytest.raises(ValueError, match="expected a name as"):
        challenge.field_name("a.nii.gz", "b.nii.gz")
    with pytest.raises(FileNotFoundError, match="no such displacement field"):
        challenge.load_field(tmp_path / "b.npz")
    np.savez(tmp_path / "two.npz", field.numpy(), field.numpy())
    with pytest.raises(ValueError, match="holds 2 arrays, expected one"):
        challenge.load_field(tmp_path / "two.npz")
    np.savez(tmp_path / "flat.npz", field[..., 0].numpy())
    with pytest.raises(ValueError, match=r"flat\.npz.*expected shape \(H, W, D, 3\)"):
        challenge.load_field(tmp_path / "flat.npz")
    (tmp_path / "bad.nii.gz").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"bad\.nii\.gz is no displacement field"):
        challenge.load_field(tmp_path / "bad.nii.gz")
    with pytest.raises(ValueError, match="voxels along a side"):
        challenge.score_field(torch.zeros(4, 6, 6, 3), torch.zeros(1, 3), torch.zeros(1, 3), SPACING)
