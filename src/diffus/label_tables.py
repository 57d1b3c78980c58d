"""The numbering of the built-in label tables, and the tissue that stands for each structure.

Where the tissue table has no row for a structure, the nearest in kind stands in: liver for other glands,
muscle for cartilage and for the walls of hollow organs, water for bile and urine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from diffus.tissues import TISSUES


class Numbering(NamedTuple):
    """Structure and tissue by label value, what label 0 stands for, and labels better taken from a CT."""

    tissues: dict[int, tuple[str, str]]
    background: str
    from_image: frozenset[int] = frozenset({0})


def fast() -> Numbering:
    """FSL FAST on T1, three classes, ordered from dark to bright (``*_seg``, ``*_pveseg``)."""
    rows = {
        0: ("outside the brain mask", "csf"),
        1: ("csf", "csf"),
        2: ("grey_matter", "grey_matter"),
        3: ("white_matter", "white_matter"),
    }
    return Numbering(
        rows, "label 0 is what lies outside the brain mask, taken as CSF (a fluid path to the probe)"
    )


def tissues() -> Numbering:
    """The tissue table in its own order, from 1; 0 is water."""
    rows = {0: ("coupling", "water")} | {n: (name, name) for n, name in enumerate(TISSUES, 1)}
    return Numbering(rows, "label 0 is water, as for coupling")


# FreeSurfer's FreeSurferColorLUT.txt: aseg structures as (left, right) or a single label.
_FREESURFER: dict[str, dict[str, tuple[int, ...]]] = {
    "white_matter": {
        "cerebral white matter": (2, 41),
        "cerebellar white matter": (7, 46),
        "brain stem": (16,),
        "ventral diencephalon": (28, 60),
        "optic chiasm": (85,),
        "corpus callosum": (192, 251, 252, 253, 254, 255),
        "fornix": (250,),
        "brain stem parts": (170, 173, 174, 175, 178),
        "vermis white matter": (177,),
        "unsegmented white matter": (5001, 5002),
    },
    "grey_matter": {
        "cerebral cortex": (3, 42),
        "cerebellar cortex": (8, 47),
        "thalamus": (9, 10, 48, 49),
        "caudate": (11, 50),
        "putamen": (12, 51),
        "pallidum": (13, 52),
        "hippocampus": (17, 53),
        "amygdala": (18, 54),
        "insula": (19, 55),
        "operculum": (20, 56),
        "accumbens": (26, 58),
        "substantia nigra": (27, 59),
        "claustrum": (138, 139),
        "vermis": (172,),
        "non-white-matter hypointensities": (80, 81, 82),
        "cortex, unknown": (1000, 2000),
    },
    "csf": {
        "lateral ventricle": (4, 43),
        "inferior lateral ventricle": (5, 44),
        "third ventricle": (14,),
        "fourth ventricle": (15,),
        "fifth ventricle": (72,),
        "csf": (24, 122, 257),
    },
    "blood": {"vessel": (30, 62)},
    "enhancing": {"choroid plexus": (31, 63)},
    "lesion": {"white matter hypointensities": (77, 78, 79), "lesion": (25, 57)},
    "brain": {"undetermined": (29, 61)},
    "dura": {"dura": (98,)},
    "cortical_bone": {"skull": (165, 259), "cranium": (121, 129)},
    "skin": {"scalp": (118, 167)},
    "muscle": {"head outside the brain": (258,), "muscle": (123,), "soft tissue": (127,)},
    "fat": {"adipose": (125,)},
    "air": {"air": (130,)},
}


def freesurfer() -> Numbering:
    """FreeSurfer's aseg, aparc+aseg, a2009s and wmparc (also SynthSeg, FastSurfer and SAMSEG)."""
    rows = {0: ("unlabelled", "csf")}
    for tissue, structures in _FREESURFER.items():
        rows |= {label: (name, tissue) for name, labels in structures.items() for label in labels}
    parcels = {
        ("cortical parcel", "grey_matter"): (range(1001, 1036), range(2001, 2036)),
        ("cortical parcel, a2009s", "grey_matter"): (range(11100, 11176), range(12100, 12176)),
        ("white matter under a parcel", "white_matter"): (range(3000, 3036), range(4000, 4036)),
        ("white matter under a parcel, a2009s", "white_matter"): (range(13100, 13176), range(14100, 14176)),
    }
    for content, ranges in parcels.items():
        rows |= {label: content for labels in ranges for label in labels}
    return Numbering(
        rows,
        "label 0 is all that was not segmented, taken as CSF: in the sulci it is, and outside the brain it "
        "is the fluid path of a craniotomy. Skull and scalp are absent unless the segmentation has them",
    )


def _sided(stem: str) -> list[str]:
    return [f"{stem}_left", f"{stem}_right"]


def _total_names() -> list[str]:
    """TotalSegmentator v2, task "total": names of labels 1 to 117 (its map_to_binary.py)."""
    vertebrae = [*(f"L{n}" for n in range(5, 0, -1)), *(f"T{n}" for n in range(12, 0, -1))]
    vertebrae += [f"C{n}" for n in range(7, 0, -1)]
    lungs = (
        "upper_lobe_left",
        "lower_lobe_left",
        "upper_lobe_right",
        "middle_lobe_right",
        "lower_lobe_right",
    )
    limbs = ("humerus", "scapula", "clavicula", "femur", "hip")
    muscles = ("gluteus_maximus", "gluteus_medius", "gluteus_minimus", "autochthon", "iliopsoas")
    return [
        *("spleen", "kidney_right", "kidney_left", "gallbladder", "liver", "stomach", "pancreas"),
        *("adrenal_gland_right", "adrenal_gland_left"),
        *(f"lung_{lobe}" for lobe in lungs),
        *("esophagus", "trachea", "thyroid_gland", "small_bowel", "duodenum", "colon", "urinary_bladder"),
        *("prostate", "kidney_cyst_left", "kidney_cyst_right", "sacrum", "vertebrae_S1"),
        *(f"vertebrae_{name}" for name in vertebrae),
        *("heart", "aorta", "pulmonary_vein", "brachiocephalic_trunk", "subclavian_artery_right"),
        *("subclavian_artery_left", "common_carotid_artery_right", "common_carotid_artery_left"),
        *("brachiocephalic_vein_left", "brachiocephalic_vein_right", "atrial_appendage_left"),
        *("superior_vena_cava", "inferior_vena_cava", "portal_vein_and_splenic_vein"),
        *_sided("iliac_artery"),
        *_sided("iliac_vena"),
        *(name for limb in limbs for name in _sided(limb)),
        "spinal_cord",
        *(name for muscle in muscles for name in _sided(muscle)),
        *("brain", "skull"),
        *(f"rib_{side}_{n}" for side in ("left", "right") for n in range(1, 13)),
        *("sternum", "costal_cartilages"),
    ]


_TOTAL_TISSUES: dict[str, tuple[str, ...]] = {
    "liver": ("liver", "spleen", "pancreas", "adrenal_gland", "thyroid_gland", "prostate"),
    "kidney": ("kidney_right", "kidney_left"),
    "water": ("gallbladder", "urinary_bladder", "kidney_cyst"),
    "muscle": (
        *(
            "stomach",
            "esophagus",
            "small_bowel",
            "duodenum",
            "colon",
            "heart",
            "gluteus",
            "autochthon",
            "iliopsoas",
        ),
        "costal_cartilages",
    ),
    "lung": ("lung",),
    "air": ("trachea",),
    "blood": (
        *("aorta", "pulmonary_vein", "brachiocephalic", "subclavian_artery", "common_carotid_artery"),
        *(
            "atrial_appendage",
            "superior_vena_cava",
            "inferior_vena_cava",
            "portal_vein",
            "iliac_artery",
            "iliac_vena",
        ),
    ),
    "cancellous_bone": ("vertebrae", "sacrum", "sternum"),
    "cortical_bone": ("humerus", "scapula", "clavicula", "femur", "hip", "skull", "rib"),
    "white_matter": ("spinal_cord",),
    "brain": ("brain",),
}
"""Tissue by the beginning of the structure's name; the longest beginning counts."""

_HOLLOW = ("stomach", "esophagus", "trachea", "small_bowel", "duodenum", "colon")


def totalsegmentator() -> Numbering:
    """TotalSegmentator v2, task "total" (117 classes); version 1 numbered them otherwise."""
    stems = {stem: tissue for tissue, names in _TOTAL_TISSUES.items() for stem in names}
    rows = {0: ("unlabelled", "muscle")}
    for label, name in enumerate(_total_names(), 1):
        rows[label] = (name, stems[_longest(name, stems)])
    hollow = frozenset(label for label, (name, _) in rows.items() if name in _HOLLOW)
    return Numbering(
        rows,
        "label 0 is unlabelled soft tissue, skin and fat as well as the air around the body: the CT's values "
        "are used there where a CT is given, else all of it is taken as muscle",
        hollow | {0},
    )


def _longest(name: str, stems: Iterable[str]) -> str:
    return max((stem for stem in stems if name.startswith(stem)), key=len)


NUMBERINGS: dict[str, Callable[[], Numbering]] = {
    "freesurfer": freesurfer,
    "fast": fast,
    "totalsegmentator": totalsegmentator,
    "tissues": tissues,
}
"""Built-in tables by name."""
