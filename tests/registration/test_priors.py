"""What is known of a pose beforehand."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.transform import Rotation
from tests.registration.scene import TRUTH

from diffus import Volume, pose
from diffus.registration import FaceOnSurface, TrackedPose
from diffus.registration.priors import residuals


def test_a_tracked_pose_is_whitened_by_its_covariance() -> None:
    root = torch.randn(6, 6, dtype=torch.float64)
    covariance = root @ root.mT + torch.eye(6, dtype=torch.float64)
    tangent = torch.tensor([1.0, -2.0, 0.5, 1.0, 0.2, -0.7], dtype=torch.float64)
    prior = TrackedPose(TRUTH, covariance=covariance)
    found = prior(pose.perturb(TRUTH, tangent)[None])
    expected = tangent @ torch.linalg.inv(covariance) @ tangent
    assert float((found**2).sum()) == pytest.approx(float(expected), rel=1e-6)


def test_sigmas_are_degrees_and_millimetres() -> None:
    prior = TrackedPose(TRUTH, sigma_deg=2.0, sigma_mm=0.5)
    turned = TRUTH.clone()
    turned[:3, :3] = TRUTH[:3, :3] @ torch.from_numpy(Rotation.from_euler("y", 4, degrees=True).as_matrix())
    assert prior(turned[None])[0].tolist() == pytest.approx([0, 2, 0, 0, 0, 0], abs=1e-6)
    shifted = TRUTH.clone()
    shifted[:3, 3] += TRUTH[:3, 2]
    assert prior(shifted[None])[0].tolist() == pytest.approx([0, 0, 0, 0, 0, 2], abs=1e-6)


def test_the_face_on_a_ball_knows_its_distance() -> None:
    axis = torch.arange(60) - 29.5
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, 3] = -29.5
    ball = Volume((grid.norm(dim=-1) < 20).to(torch.uint8), affine)
    prior = FaceOnSurface(ball, sigma_mm=2.0)
    poses = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    poses[:, 0, 3] = torch.tensor([15.0, 20.0, 26.0, 80.0])
    assert prior(poses)[:, 0].tolist() == pytest.approx([-2.5, 0, 3, 30], abs=0.4)


def test_priors_stand_side_by_side() -> None:
    assert residuals([], TRUTH[None]).shape == (1, 0)
    assert residuals([TrackedPose(TRUTH), TrackedPose(TRUTH)], TRUTH[None]).shape == (1, 12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TrackedPose(TRUTH, sigma_mm=0.0), "sigma_mm must be a finite number above 0"),
        (lambda: TrackedPose(2 * TRUTH), "pose"),
        (lambda: TrackedPose(TRUTH, covariance=-torch.eye(6, dtype=torch.float64)), "positive eigenvalues"),
        (
            lambda: FaceOnSurface(Volume(torch.zeros(4, 4, 4), torch.eye(4, dtype=torch.float64))),
            "empty or full",
        ),
    ],
)
def test_refuses(make, words) -> None:
    with pytest.raises(ValueError, match=words):
        make()
