"""What commands that render are told of the tissue."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.registration.test_contrasts import contrast, on_another_grid

from diffus import Medium, Volume
from diffus.cli.rendering import Rendering
from diffus.registration import aligned


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two contrasts on grids of their own, and a mask of everything."""
    folder = tmp_path_factory.mktemp("head")
    still = contrast(0)
    still.save(folder / "t1.nii.gz")
    on_another_grid(contrast(1)).save(folder / "flair.nii.gz")
    Volume(torch.ones(still.shape), still.world_from_voxel).save(folder / "mask.nii.gz")
    return folder


def told(head: Path, align: bool) -> Rendering:
    return Rendering(
        head / "t1.nii.gz",
        second=head / "flair.nii.gz",
        second_contrast="flair",
        align=align,
        mask=head / "mask.nii.gz",
    )


def test_a_second_contrast_on_a_grid_of_its_own_needs_align(head: Path) -> None:
    with pytest.raises(ValueError, match="grid"):
        told(head, align=False).read_tissue()
    tissue = told(head, align=True).read_tissue()
    first, second, mask = (Volume.load(head / f"{name}.nii.gz") for name in ("t1", "flair", "mask"))
    expected = Medium.from_mri({"t1": first, "flair": aligned(second, first)}, mask=mask)
    assert torch.equal(tissue.medium.backscatter, expected.backscatter)


def test_align_without_a_second_volume_is_refused(head: Path) -> None:
    with pytest.raises(ValueError, match=r"--align moves the second volume: give --second"):
        Rendering(head / "t1.nii.gz", align=True).require_tissue()
