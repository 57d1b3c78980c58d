"""Tracked sequences: what is written is what is read, by this program and by ITK."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tests.scenes import IDENTITY, PROBES, TILTED, textured

from diffus import Frame, render, trajectory
from diffus.cli.register_sequence import frames_of_sequence
from diffus.io.sequence_writer import recorded_sequence, write_sequence
from diffus.io.sequences import is_sequence, read_sequence
from diffus.volume import Volume


@pytest.fixture(scope="module")
def frames() -> Frame:
    return render(textured(), PROBES["convex"], trajectory.fan(IDENTITY, 20.0, 5)).detach()


def test_a_sequence_comes_back_with_its_poses_and_images(frames: Frame, tmp_path: Path) -> None:
    path = write_sequence(frames, tmp_path / "sweep.igs.mha", spacing_mm=0.4, per_second=8)
    assert list(tmp_path.iterdir()) == [path]
    assert is_sequence(path)
    sequence = read_sequence(path, None)
    assert sequence.left_out == 0
    assert torch.equal(sequence.images, (255 * frames.cartesian(0.4)).round())
    grid = frames.grid(0.4)
    assert torch.equal(sequence.reference_from_image, frames.world_from_pixel(grid, 0.4))
    placed = frames_of_sequence(path, sequence, PROBES["convex"], 6.0)
    assert torch.allclose(placed.frame.world_from_probe, frames.world_from_probe, atol=1e-9)
    inner = (slice(None), slice(1, -1), slice(2, -2))
    assert torch.allclose(placed.frame.scanlines[inner].double(), frames.scanlines[inner], atol=0.03)
    with pytest.raises(ValueError, match="tracked sequence of 5 2D frames"):
        Volume.load(path)


def test_itk_finds_the_fields_that_slicer_reads(frames: Frame, tmp_path: Path) -> None:
    path = write_sequence((one for one in frames), tmp_path / "sweep.mha", per_second=8)
    image = sitk.ReadImage(str(path))
    assert image.GetSize() == (*reversed(frames.grid().shape), 5)
    assert (image.GetSpacing(), image.GetOrigin()) == ((1, 1, 1), (0, 0, 0))
    assert image.GetMetaData("UltrasoundImageOrientation").strip() == "MF"
    for number in range(5):
        field = f"Seq_Frame{number:04d}_"
        probe = np.array(image.GetMetaData(f"{field}ProbeToReferenceTransform").split(), dtype=float)
        assert np.array_equal(probe.reshape(4, 4), frames.world_from_probe[number])
        assert image.GetMetaData(f"{field}ImageToReferenceTransformStatus").strip() == "OK"
        assert float(image.GetMetaData(f"{field}Timestamp")) == number / 8


def test_a_bright_sample_lies_where_it_is_in_the_world(tmp_path: Path) -> None:
    """Pixel of the brightest grey, taken to mm by the field that Slicer applies."""
    probe = PROBES["linear"]
    lines = torch.zeros(1, probe.n_scanlines, probe.n_samples)
    lines[0, 7, 60] = 1
    frame = render(textured(torch.float32), probe, IDENTITY)
    frame = Frame(lines, frame.envelope, probe, TILTED[None], frame.settings)
    sequence = read_sequence(write_sequence(frame, tmp_path / "dot.mha", spacing_mm=0.25), None)
    image = sequence.images[0]
    rows, columns = (image == image.max()).nonzero().double().mean(dim=0).tolist()
    found = sequence.reference_from_image[0] @ torch.tensor([columns, rows, 0, 1]).double()
    expected = TILTED[:3, :3] @ probe.sample_points_mm()[7, 60] + TILTED[:3, 3]
    assert torch.allclose(found[:3], expected, atol=0.2)


def test_a_long_sequence_keeps_every_field(tmp_path: Path) -> None:
    small = PROBES["phased"].with_options(n_scanlines=3, n_samples=8)
    poses = trajectory.turn(TILTED, 90.0, 120)
    lines = torch.rand(120, 3, 8)
    frame = Frame(lines, lines, small, poses, render(textured(), small, IDENTITY).settings)
    sequence = read_sequence(write_sequence(frame, tmp_path / "long.mha", spacing_mm=6.0), None)
    assert torch.equal(sequence.reference_from_image, frame.world_from_pixel(frame.grid(6.0), 6.0))


def test_what_is_cut_or_refused_leaves_nothing(frames: Frame, tmp_path: Path) -> None:
    def cut() -> Iterator[Frame]:
        yield frames[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sequence(cut(), tmp_path / "cut.igs.mha")
    with pytest.raises(ValueError, match="at least one frame, got none"):
        write_sequence([], tmp_path / "none.igs.mha")
    with pytest.raises(ValueError, match=r"saved as \.igs\.mha, got '\.nrrd'"):
        write_sequence(frames, tmp_path / "sweep.nrrd")
    with pytest.raises(ValueError, match="per_second must be"):
        write_sequence(frames, tmp_path / "sweep.mha", per_second=0)
    other = render(textured(), PROBES["linear"], IDENTITY)
    with (
        pytest.raises(ValueError, match="one probe, and a frame of another"),
        recorded_sequence(tmp_path / "two.mha") as add,
    ):
        add(frames)
        add(other)
    assert not list(tmp_path.iterdir())
