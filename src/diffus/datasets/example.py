"""The embedded brain: the MNI152 template and its tissue maps, from the files inside the nilearn wheel."""

from __future__ import annotations

from pathlib import Path

import torch

from diffus.extras import require_extra
from diffus.tissue_maps import TissueMaps
from diffus.volume import Volume

_BYTE = 255.0
"""The maps hold probabilities as bytes."""

_SHARPNESS = 3.0
_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


def example_brain() -> TissueMaps:
    """MNI152 2009a nonlinear symmetric brain, 1 mm, 197 x 233 x 189, skull-stripped; no download.

    Grey and white matter are the template's probability maps (Fonov et al. 2011, NeuroImage 54); CSF is what
    they leave of the brain mask. The T1 image is the maps' ``image``. The template is an average of 152
    people,
    whose ventricles differ: around them its probabilities are sharpened (third power, normalised), so that
    the walls are as sharp as in one brain. Elsewhere the maps are the template's own.

    Raises:
        ValueError: when nilearn, which carries the files, is not installed.
    """
    folder = _data_folder()
    image = Volume.load(folder / _FILE.format("t1"))
    grey = Volume.load(folder / _FILE.format("gm")).data / _BYTE
    white = Volume.load(folder / _FILE.format("wm")).data / _BYTE
    total = grey + white
    shrink = total.clamp_min(1.0)
    grey, white = grey / shrink, white / shrink
    csf = (_filled(image.data > 0).float() - grey - white).clamp_min_(0)
    maps = {"grey_matter": grey, "white_matter": white, "csf": csf}
    volumes = {name: Volume(data, image.world_from_voxel) for name, data in maps.items()}
    _sharpen_ventricles(volumes)
    return TissueMaps(volumes, surroundings="water", image=image)


def _data_folder() -> Path:
    # Found without importing nilearn, whose import takes seconds.
    spec = require_extra("nilearn", "demo", "the example brain")
    return Path(str(spec.origin)).parent / "datasets" / "data"


def _sharpen_ventricles(maps: dict[str, Volume]) -> None:
    """Raise the probabilities around open fluid to a power, in place, their sum kept."""
    from diffus.segmentation import open_fluid, open_share

    total = torch.stack([volume.data for volume in maps.values()]).sum(dim=0)
    brain = Volume(total, maps["csf"].world_from_voxel)
    mixed = (maps["csf"].data > 0) & (maps["csf"].data < total)
    power = 1 + (_SHARPNESS - 1) * open_share(open_fluid(maps["csf"], brain), brain, mixed)
    raised = {name: volume.data[mixed] ** power for name, volume in maps.items()}
    scale = total[mixed] / torch.stack(list(raised.values())).sum(dim=0)
    for name, volume in maps.items():
        volume.data[mixed] = raised[name] * scale


def _filled(mask: torch.Tensor) -> torch.Tensor:
    """The mask with its enclosed holes, where the template happens to be zero, filled."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(mask.numpy().astype("uint8"))
    return torch.from_numpy(sitk.GetArrayFromImage(sitk.BinaryFillhole(image))).bool()
