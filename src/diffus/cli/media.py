"""The tissue that commands render, from the volumes, contrasts, labels and mask that the user names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from diffus.checks import require_one_of

if TYPE_CHECKING:
    from diffus.medium import Medium
    from diffus.volume import Volume

MRI_CONTRASTS = ("t1", "cet1", "t2", "flair")
CONTRASTS = (*MRI_CONTRASTS, "ct", "labels")


class Tissue(NamedTuple):
    """What a command renders.

    Args:
        medium: made from the volumes.
        body: mask of the brain or body, which the probe touches.
        image: the first volume as it was read.
        contrasts: MRI by contrast, on one grid; empty for a CT and for labels.
    """

    medium: Medium
    body: Volume
    image: Volume
    contrasts: Mapping[str, Volume] = MappingProxyType({})


def require_contrasts(volumes: Sequence[Path], contrasts: Sequence[str]) -> None:
    """Refuse contrasts that do not go with the volumes.

    Raises:
        ValueError: for an unknown contrast, another number of them than volumes, one that is named twice, or
            a CT or labels beside something else.
    """
    for contrast in contrasts:
        require_one_of("contrast", contrast, CONTRASTS)
    if len(volumes) != len(contrasts):
        raise ValueError(
            f"got {len(volumes)} volumes and {len(contrasts)} contrasts ({', '.join(contrasts)}): name one "
            "contrast for each volume, in their order"
        )
    if len(set(contrasts)) < len(contrasts):
        raise ValueError(f"contrasts {', '.join(contrasts)}: each may be named once")
    alone = [contrast for contrast in contrasts if contrast not in MRI_CONTRASTS]
    if alone and len(contrasts) > 1:
        raise ValueError(f"a volume of contrast {alone[0]!r} stands alone: give that one volume")


def tissue_of(
    volumes: Sequence[Path],
    contrasts: Sequence[str],
    *,
    mask: Path | None = None,
    labels: Path | None = None,
    table: str = "tissues",
    align: bool = False,
) -> Tissue:
    """Read volumes and make the medium.

    Args:
        volumes: MRI of one or several contrasts, on one grid unless aligned; or one CT or label map.
        contrasts: what each shows, among `CONTRASTS`.
        mask: of the brain or body, on the same grid; found in the first volume by default.
        labels: label map that gives the tissue values; with a CT those of labelled tissue.
        table: of the labels.
        align: whether to move further MRI to where they share most information with the first.

    Raises:
        FileNotFoundError: when a file is not there.
        ValueError: see `require_contrasts`; and for volumes that cannot be read or do not share one grid.
    """
    from diffus.medium import Medium
    from diffus.segmentation import body_mask, brain_mask
    from diffus.volume import Volume

    require_contrasts(volumes, contrasts)
    image = Volume.load(volumes[0])
    given = None if mask is None else Volume.load(mask)
    label_map = image if contrasts[0] == "labels" else labels and Volume.load(labels)
    if contrasts[0] == "ct":
        body = given or body_mask(image)
        medium = Medium.from_labels(label_map, table, image) if label_map else Medium.from_ct(image)
        return Tissue(medium.coupled(body), body, image)
    if label_map:
        body = given or Volume(label_map.data > 0, label_map.world_from_voxel)
        return Tissue(Medium.from_labels(label_map, table), body, image)
    body = given or brain_mask(image, contrasts[0])
    others = {name: Volume.load(path) for name, path in zip(contrasts[1:], volumes[1:], strict=True)}
    if align:
        from diffus.registration.contrasts import aligned

        others = {name: aligned(other, image) for name, other in others.items()}
    by_contrast = {contrasts[0]: image} | others
    return Tissue(Medium.from_mri(by_contrast, mask=body), body, image, by_contrast)
