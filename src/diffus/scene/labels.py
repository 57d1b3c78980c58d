"""Label maps: which structures are shown, where each lies, and its name and colour."""

from __future__ import annotations

import colorsys
from collections.abc import Collection
from dataclasses import dataclass

import SimpleITK as sitk
import torch

from diffus.labels import LabelTable
from diffus.scene.parts import Colour
from diffus.volume import Volume

Corners = tuple[tuple[int, int, int], tuple[int, int, int]]

_COLOURS: dict[str, Colour] = {
    "liver": (0.60, 0.27, 0.20),
    "spleen": (0.47, 0.20, 0.35),
    "kidney": (0.76, 0.42, 0.25),
    "pancreas": (0.90, 0.70, 0.38),
    "stomach": (0.85, 0.55, 0.55),
    "gallbladder": (0.38, 0.60, 0.25),
    "lung": (0.70, 0.80, 0.88),
    "heart": (0.72, 0.18, 0.20),
    "aorta": (0.83, 0.13, 0.15),
    "artery": (0.83, 0.13, 0.15),
    "vein": (0.20, 0.36, 0.70),
    "vena": (0.20, 0.36, 0.70),
    "vertebra": (0.91, 0.86, 0.72),
    "cartilage": (0.72, 0.82, 0.86),
    "rib": (0.89, 0.84, 0.72),
    "sacrum": (0.91, 0.86, 0.72),
    "hip": (0.91, 0.86, 0.72),
    "femur": (0.91, 0.86, 0.72),
    "skull": (0.91, 0.86, 0.72),
    "autochthon": (0.66, 0.33, 0.30),
    "iliopsoas": (0.66, 0.33, 0.30),
    "glute": (0.66, 0.33, 0.30),
    "colon": (0.78, 0.62, 0.45),
    "bowel": (0.83, 0.68, 0.52),
    "duodenum": (0.80, 0.58, 0.42),
    "white": (0.93, 0.90, 0.84),
    "grey": (0.74, 0.60, 0.56),
    "cortex": (0.74, 0.60, 0.56),
    "csf": (0.45, 0.65, 0.85),
    "ventricle": (0.45, 0.65, 0.85),
    "tumour": (0.55, 0.75, 0.20),
}
"""Colour of a structure by a word in its name; the first word that fits counts."""


@dataclass(frozen=True)
class Structure:
    """One label of a map.

    Args:
        label: its value.
        name: from the table.
        colour: by its name, or one that differs from its neighbours'.
        corners: first index, and one past the last, of the smallest part of the grid that holds it.
        voxels: how many it has.
    """

    label: int
    name: str
    colour: Colour
    corners: Corners
    voxels: int


def structures(
    labels: Volume, table: LabelTable | None, only: Collection[str | int] | None
) -> list[Structure]:
    """The structures of a label map, the largest first.

    Args:
        labels: whole numbers; 0 is background.
        table: gives the names; without one they are numbered.
        only: values or names of those that are wanted.

    Raises:
        ValueError: when the values are not whole numbers, or one that is wanted is not in the map.
    """
    values = labels.data
    if values.is_floating_point() and any(bool((plane != plane.round()).any()) for plane in values):
        raise ValueError(
            "label map holds values that are not whole numbers: give labels, or show an image by "
            "add_surface(volume, 'brain')"
        )
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(sitk.GetImageFromArray(values.to(torch.int32).numpy()))
    found = []
    for label in shapes.GetLabels():
        k, j, i, depth, height, width = shapes.GetBoundingBox(label)
        corners = ((i, j, k), (i + width, j + height, k + depth))
        row = table.rows.get(label) if table else None
        name = row.name.replace("_", " ") if row else f"label {label}"
        if label != 0:
            found.append(
                Structure(label, name, colour_of(name, label), corners, shapes.GetNumberOfPixels(label))
            )
    if only is not None:
        found = _wanted(found, only)
    return sorted(found, key=lambda structure: -structure.voxels)


def colour_of(name: str, number: int) -> Colour:
    """A colour by the words of the name; else one that differs from those of neighbouring numbers."""
    for word, colour in _COLOURS.items():
        if word in name.lower():
            return colour
    # Steps of the golden angle never come near each other (as the leaves of a plant do not).
    return colorsys.hls_to_rgb((number * 0.381966) % 1.0, 0.55, 0.45)


def _wanted(found: list[Structure], only: Collection[str | int]) -> list[Structure]:
    chosen = []
    for wish in only:
        words = str(wish).replace("_", " ").lower()
        fits = [s for s in found if s.label == wish or (isinstance(wish, str) and words == s.name.lower())]
        if not fits:
            known = ", ".join(f"{s.label} ({s.name})" for s in found[:30])
            raise ValueError(f"structure {wish!r} is not in the label map, which holds {known}")
        chosen += fits
    return chosen
