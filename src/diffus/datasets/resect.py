"""RESECT: MRI and ultrasound of 23 patients with low-grade glioma, with the landmarks of experts.

Xiao et al., Med Phys 44, 2017 (10.1002/mp.12268), CC BY 4.0. Of each patient there are T1 with gadolinium
and T2-FLAIR before surgery, and 3D ultrasound before, during and after resection, in one world, nearly
aligned by the navigation. Landmarks of MRI and ultrasound are MNI tag files.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

from diffus.checks import require_one_of
from diffus.datasets.case_files import CaseFiles
from diffus.datasets.paired_dataset import PairedDataset

STAGES = ("before", "during", "after")
"""When the ultrasound was taken, with regard to resection."""
SOURCE = "RESECT is at the Norwegian Infrastructure for Research Data (NIRD), doi 10.11582/2017.00004"
"""Where missing files are to be had."""

_IMAGE = re.compile(
    r"^(?P<case>Case\d+)-(?P<what>T1|FLAIR|US)(?:-(?P<stage>before|during|after))?.*\.(?:nii|nii\.gz|mnc)$",
    re.IGNORECASE,
)
_TAGS = re.compile(r"^(?P<case>Case\d+)-MRI-(?P<stage>before|during|after)US\.tag$", re.IGNORECASE)
_CONTRASTS = {"T1": "cet1", "FLAIR": "flair"}
_PREFERRED = (".nii.gz", ".nii", ".mnc")


def open_dataset(root: str | os.PathLike[str], stage: str = "before", cache: bool = False) -> PairedDataset:
    """Open the cases that have MRI and ultrasound of a stage; volumes are read when asked for.

    Files are found by their names, as ``Case24-US-before.nii.gz`` and ``Case24-MRI-beforeUS.tag``, in the
    folder and all below. Of one image in several formats NIfTI is taken before MINC. FLAIR that does not lie
    on the grid of T1 is resampled onto it.

    Args:
        root: the dataset's folder.
        stage: before, during or after resection.
        cache: keep what was read in memory.

    Raises:
        FileNotFoundError: when there is no such folder, or no such case in it, saying where to get them.
        ValueError: for an unknown stage.
    """
    cases = [case for case in list_cases(root, stage) if case.ultrasound is not None and case.contrasts]
    if not cases:
        raise FileNotFoundError(
            f"no RESECT case with MRI and ultrasound ({stage}) below {root}: expected files as "
            f"Case1-T1.nii.gz and Case1-US-{stage}.nii.gz. {SOURCE}"
        )
    return PairedDataset(cases, cache)


def list_cases(root: str | os.PathLike[str], stage: str = "before") -> list[CaseFiles]:
    """Every case of which there is any file, complete or not, by number.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: for an unknown stage.
    """
    require_one_of("stage", stage, STAGES)
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}. {SOURCE}")
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(folder.rglob("Case*"), key=_preference):
        role = _role(path, stage)
        if role is not None:
            found[role[0]].setdefault(role[1], path)
    cases = [_case(case, files) for case, files in found.items()]
    return sorted(cases, key=lambda case: int(re.sub(r"\D", "", case.case)))


def _case(name: str, files: dict[str, Path]) -> CaseFiles:
    contrasts = {contrast: files[what] for what, contrast in _CONTRASTS.items() if what in files}
    return CaseFiles(
        name, files.get("US"), contrasts, landmark_pairs=files.get("landmarks"), regrid=True, source=SOURCE
    )


def _role(path: Path, stage: str) -> tuple[str, str] | None:
    """Case and role of a file (T1, FLAIR, US or landmarks), or None if it has none at this stage."""
    tags, image = _TAGS.match(path.name), _IMAGE.match(path.name)
    if tags is not None:
        return (tags["case"].capitalize(), "landmarks") if tags["stage"].lower() == stage else None
    if image is None:
        return None
    what = image["what"].upper()
    if what == "US" and (image["stage"] or "").lower() != stage:
        return None
    return image["case"].capitalize(), what


def _preference(path: Path) -> tuple[int, str]:
    name = path.name.lower()
    ranks = [rank for rank, extension in enumerate(_PREFERRED) if name.endswith(extension)]
    return (ranks[0] if ranks else len(_PREFERRED)), str(path)
