"""ReMIND2Reg: intra-operative ultrasound and pre-operative MRI of brain tumour patients, as Learn2Reg has it.

The dataset is a folder with a JSON file and ``imagesTr/ReMIND2Reg_XXXX_000M.nii.gz``, where XXXX is the
patient and M is 0 for ultrasound (fixed), 1 for contrast-enhanced T1 and 2 for T2 (moving). Not every patient
has both. Every volume of a patient lies on one grid, 256^3 at 0.5 mm. It is free to download, and made from
ReMIND (Juvekar et al., Sci Data 11, 2024; 10.7937/3RAG-D070).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from diffus.checks import require_one_of
from diffus.datasets.case_files import CaseFiles, Grid
from diffus.datasets.paired_dataset import PairedDataset
from diffus.files import read_json

CONTRASTS = {1: "cet1", 2: "t2"}
"""Name of the contrast by the file's last number."""
SPLITS = ("training", "validation")
SPACING_MM = 0.5
SOURCE = (
    "ReMIND2Reg is on Zenodo (search for ReMIND2Reg, or follow the link on the Learn2Reg challenge's page); "
    "the original patients are on The Cancer Imaging Archive, ReMIND, doi 10.7937/3RAG-D070"
)
"""Where missing files are to be had."""

_JSON = "*dataset*.json"
_LISTS = {"training_paired_images": "training", "registration_val": "validation"}
_FILE_NAME = re.compile(r"^(?P<patient>.+_\d{4})_(?P<modality>\d{4})\.nii(\.gz)?$")


def open_dataset(root: str | os.PathLike[str], split: str = "training", cache: bool = False) -> PairedDataset:
    """Open the cases of one split that have ultrasound and MRI; volumes are read when asked for.

    Args:
        root: the dataset's folder, its JSON file, or a folder that holds the dataset's folder.
        split: training or validation.
        cache: keep what was read in memory.

    Raises:
        FileNotFoundError: when there is no dataset, saying where to get it.
        ValueError: for an unknown split, or JSON that is not that of this dataset.
    """
    require_one_of("split", split, SPLITS)
    cases = list_cases(root)
    usable = [case for case in cases if case.split == split and case.ultrasound and case.contrasts]
    return PairedDataset(usable, cache)


def list_cases(root: str | os.PathLike[str]) -> list[CaseFiles]:
    """Every case that the dataset's JSON names, in the order of their names, complete or not.

    Raises:
        FileNotFoundError: when there is no dataset, saying where to get it.
        ValueError: for JSON that is not that of this dataset.
    """
    path = find_json(root)
    content = _checked(path, read_json(path, "dataset"))
    grid = _grid(path, content)
    listed: dict[str, _Listed] = {}
    for name, split in _named_files(content):
        patient, modality, file = _parse(path, name)
        case = listed.setdefault(patient, _Listed({}, set()))
        case.files[modality] = file
        case.splits.add(split)
    return [_case(path.parent, patient, listed[patient], grid) for patient in sorted(listed)]


def find_json(root: str | os.PathLike[str]) -> Path:
    """The dataset's JSON: the file itself, in the folder, or in one of its folders.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when there are several.
    """
    given = Path(root)
    if given.is_file():
        return given
    for pattern in (_JSON, f"*/{_JSON}"):
        found = sorted(given.glob(pattern)) if given.is_dir() else []
        if len(found) > 1:
            names = ", ".join(str(path) for path in found)
            raise ValueError(f"{given} holds several datasets: {names}; give the file of the one you mean")
        if found:
            return found[0]
    raise FileNotFoundError(
        f"no ReMIND2Reg dataset at {given}: expected a folder with ReMIND2Reg_dataset.json and imagesTr. "
        f"{SOURCE}"
    )


def landmark_files(folder: Path, patient: str, modality: int) -> tuple[Path, Path]:
    """Where Learn2Reg's evaluation looks for landmarks of the ultrasound and of an MRI, in voxels.

    Ultrasound and the first modality share ``landmarksTr``; with another modality the folder names both.

    Args:
        folder: the dataset's folder.
        patient: name of the case (``ReMIND2Reg_0099``).
        modality: number of the MRI's contrast.
    """
    place = folder / ("landmarksTr" if modality == 1 else f"landmarks0000{modality:04d}Tr")
    return place / f"{patient}_0000.csv", place / f"{patient}_{modality:04d}.csv"


class _Listed(NamedTuple):
    """Files by modality and splits of one patient."""

    files: dict[int, str]
    splits: set[str]


def _checked(path: Path, content: Any) -> dict[str, Any]:
    keys = ("modality", *_LISTS)
    if not isinstance(content, dict) or any(key not in content for key in keys):
        raise ValueError(f"{path} is not the JSON of ReMIND2Reg: expected an object with {', '.join(keys)}")
    modality = content["modality"]
    if not isinstance(modality, dict) or str(modality.get("0", "")).upper() != "US":
        raise ValueError(
            f"{path}: expected modality 0 to be US, the ultrasound, got {modality!r}: is it another dataset?"
        )
    return content


def _grid(path: Path, content: dict[str, Any]) -> Grid | None:
    """The grid that the JSON promises; ``tensorImageSpacing`` is written by `diffus.datasets.simulate`."""
    shape = content.get("tensorImageShape", {}).get("0")
    if shape is None:
        return None
    if not isinstance(shape, list) or len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(f"{path}: expected tensorImageShape to be three whole numbers, got {shape!r}")
    spacing = float(content.get("tensorImageSpacing", {}).get("0", SPACING_MM))
    return Grid((shape[0], shape[1], shape[2]), spacing)


def _named_files(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each file that the JSON names, with the split of the list that names it."""
    for key, split in _LISTS.items():
        for pair in content[key]:
            for role in ("fixed", "moving"):
                yield str(pair[role]), split
    # The plain list also names images that are in no pair, those of patients who lack one side.
    for entry in content.get("training", []):
        yield str(entry["image"] if isinstance(entry, dict) else entry), ""


def _parse(path: Path, name: str) -> tuple[str, int, str]:
    found = _FILE_NAME.match(Path(name).name)
    if found is None or int(found["modality"]) not in (0, *CONTRASTS):
        raise ValueError(
            f"{path} names {name!r}: expected names as imagesTr/ReMIND2Reg_0042_0001.nii.gz, the last number "
            f"0 for ultrasound, {' or '.join(map(str, CONTRASTS))} for MRI"
        )
    return found["patient"], int(found["modality"]), name


def _case(folder: Path, patient: str, listed: _Listed, grid: Grid | None) -> CaseFiles:
    contrasts = {
        name: folder / listed.files[number] for number, name in CONTRASTS.items() if number in listed.files
    }
    landmarks = None
    for number in CONTRASTS:
        files = landmark_files(folder, patient, number)
        if landmarks is None and number in listed.files and all(file.is_file() for file in files):
            landmarks = files
    return CaseFiles(
        patient,
        folder / listed.files[0] if 0 in listed.files else None,
        contrasts,
        split="validation" if "validation" in listed.splits else "training",
        landmark_voxels=landmarks,
        grid=grid,
        source=SOURCE,
    )
