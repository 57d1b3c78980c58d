"""Datasets made here, in the layout of ReMIND2Reg: to rehearse before downloading, and to know the truth.

For each case the brain gets acoustic values of its own about those hidden in the whole dataset, a probe is
swept over a craniotomy, its frames are rendered with sampled speckle and put together into a volume, and that
volume lies a known rigid motion away from the MRI, as after a navigation that is a little off.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from diffus.datasets.landmarks import write_points
from diffus.datasets.remind2reg import CONTRASTS, landmark_files
from diffus.datasets.simulated_case import SimulatedCase, simulate_case
from diffus.datasets.simulated_head import DEFAULT_TISSUES, Head, HiddenTissues, open_head
from diffus.datasets.simulation_settings import SimulationSettings
from diffus.files import read_json, write_json
from diffus.mixing import CHANNELS
from diffus.volume import Volume

NAME = "ReMIND2Reg"
JSON_NAME = f"{NAME}_dataset.json"
EVALUATION_NAME = f"{NAME}_VAL_evaluation_config.json"
TRUTH = "truth"
"""Folder for what the real dataset does not tell."""
_FORMAT, _VERSION = "diffus-simulation", 1

Told = Callable[[str, int, int], None]
"""Told what is being done, how many cases are done, and how many there are."""


def simulate_dataset(
    out: str | os.PathLike[str],
    mri: str | os.PathLike[str] | Volume | Head | None = None,
    contrast: str = "t1",
    settings: SimulationSettings | None = None,
    told: Told | None = None,
) -> Path:
    """Write a dataset in the layout of ReMIND2Reg, with what is hidden behind it in the folder ``truth``.

    Cases that are there already, from a run of the same settings that was cut, are left as they are. Every
    file is made whole aside and moved into place, and the JSON names only whole cases. The same settings
    give the same dataset.

    Args:
        out: the dataset's folder.
        mri: head to simulate from, see `simulated_head.open_head`, or one that is opened already; by default
            the embedded brain.
        contrast: of that MRI.
        settings: what is made.
        told: progress.

    Returns:
        The dataset's JSON.

    Raises:
        FileNotFoundError: when there is no such MRI.
        ValueError: for an MRI that is refused, a folder that cannot be written to or that holds a simulation
            of other settings, or ultrasound that misses the brain.
    """
    settings = settings or SimulationSettings()
    folder = Path(out)
    generator = torch.Generator().manual_seed(settings.seed)
    hidden = DEFAULT_TISSUES.varied(settings.hidden_variation, generator)
    _claim(folder, settings, _named(mri), contrast)
    plans = [_plan(number, settings, generator) for number in range(settings.cases)]
    head: Head | None = None
    for number, plan in enumerate(plans):
        if told is not None:
            told(plan.name, number, len(plans))
        if not plan.truth_file(folder).is_file():
            head = head or (mri if isinstance(mri, Head) else open_head(mri, contrast))
            case = simulate_case(head, hidden, plan.contrasts, settings, plan.seed)
            _write_case(folder, plan, case)
        _write_lists(folder, plans[: number + 1], settings)
    _write_hidden(folder, hidden)
    if told is not None:
        told("done", len(plans), len(plans))
    return folder / JSON_NAME


@dataclass(frozen=True)
class _Plan:
    """A case to be made."""

    name: str
    seed: int
    contrasts: tuple[str, ...]
    is_validation: bool

    @property
    def modalities(self) -> list[int]:
        """Numbers of its contrasts in file names."""
        return [number for number, contrast in CONTRASTS.items() if contrast in self.contrasts]

    def image(self, modality: int) -> str:
        """A volume's path in the dataset, as its JSON has it."""
        return f"./imagesTr/{self.name}_{modality:04d}.nii.gz"

    def truth_file(self, folder: Path) -> Path:
        """The file that is written last: where it is, the case is whole."""
        return folder / TRUTH / f"{self.name}.json"


def _plan(number: int, settings: SimulationSettings, generator: torch.Generator) -> _Plan:
    seed = int(torch.randint(2**31, (), generator=generator))
    lacks, which = torch.rand(2, generator=generator).tolist()
    contrasts = tuple(CONTRASTS.values())
    if lacks < settings.missing_share:
        contrasts = (contrasts[int(which * len(contrasts))],)
    is_validation = number >= settings.cases - settings.validation
    return _Plan(f"{NAME}_{number:04d}", seed, contrasts, is_validation)


def _named(mri: str | os.PathLike[str] | Volume | Head | None) -> str:
    if mri is None:
        return "the embedded brain"
    if isinstance(mri, Head):
        return f"a head of {', '.join(mri.maps.fractions)} on {mri.mask!r}"
    return repr(mri) if isinstance(mri, Volume) else str(Path(mri).resolve())


def _claim(folder: Path, settings: SimulationSettings, source: str, contrast: str) -> None:
    """Note what the folder is for, or refuse it if it is for something else."""
    content = {"format": _FORMAT, "version": _VERSION, "source": source, "contrast": contrast}
    content |= {"settings": asdict(settings)}
    note = folder / TRUTH / "simulation.json"
    if not note.is_file():
        if (folder / JSON_NAME).is_file():
            raise ValueError(f"{folder} holds a dataset that was not simulated: give another folder")
        write_json(note, content)
        return
    if read_json(note, "simulation") != content:
        raise ValueError(
            f"{folder} holds a simulation of other settings or of another MRI ({note}): give another folder, "
            "or the same settings to go on"
        )


def _write_case(folder: Path, plan: _Plan, case: SimulatedCase) -> None:
    case.ultrasound.save(folder / plan.image(0))
    for modality in plan.modalities:
        mri = case.contrasts[CONTRASTS[modality]]
        mri.save(folder / plan.image(modality))
        in_ultrasound, in_mri = landmark_files(folder, plan.name, modality)
        write_points(in_ultrasound, _voxels(case.ultrasound, case.landmarks.ultrasound_mm))
        write_points(in_mri, _voxels(mri, case.landmarks.mri_mm))
    for channel in CHANNELS:
        case.medium.volume(channel).save(folder / TRUTH / f"{plan.name}_{channel}.nii.gz")
    marks = {
        "mri": case.landmarks.mri_mm.tolist(),
        "ultrasound": case.landmarks.ultrasound_mm.tolist(),
    }
    content = {"format": _FORMAT, "version": _VERSION, "case": plan.name, "frame": "RAS+", "unit": "mm"}
    write_json(plan.truth_file(folder), content | case.truth | {"landmarks": marks})


def _write_lists(folder: Path, plans: list[_Plan], settings: SimulationSettings) -> None:
    """The dataset's JSON and the evaluation's, as ReMIND2Reg has them."""
    pairs = {
        is_validation: [
            {"fixed": plan.image(0), "moving": plan.image(modality)}
            for plan in plans
            for modality in plan.modalities
            if plan.is_validation == is_validation
        ]
        for is_validation in (False, True)
    }
    images = [{"image": plan.image(modality)} for plan in plans for modality in (0, *plan.modalities)]
    shape = [settings.size] * 3
    content: dict[str, Any] = {
        "name": NAME,
        "release": "simulated",
        "description": "Made by diffus dataset simulate in the layout of ReMIND2Reg. No patient is in it.",
        "pairings": "paired",
        "provided_data": {"0": ["image"]},
        "registration_direction": {"fixed": 0, "moving": 1},
        "modality": {"0": "US", "1": "MR", "2": "MR"},
        "img_shift": {"fixed": "intraoperative", "moving": "preoperative"},
        "labels": {},
        "tensorImageSize": {"0": "3D"},
        "tensorImageShape": {"0": shape},
        "tensorImageSpacing": {"0": settings.spacing_mm},
        "numTraining": len(images),
        "numTest": 0,
        "training": images,
        "test": [],
        "numPairedTraining": len(pairs[False]),
        "training_paired_images": pairs[False],
        "numPairedTest": 0,
        "test_paired_images": [],
        "numRegistration_val": len(pairs[True]),
        "registration_val": pairs[True],
        "numRegistration_test": 0,
        "registration_test": [],
    }
    evaluation = {
        "task_name": NAME,
        "evaluation_methods": [
            {"name": "LogJacDetStd", "metric": "sdlogj"},
            {"name": "TRE_lm", "metric": "tre", "dest": "landmarks"},
        ],
        "expected_shape": [*shape, 3],
        "eval_pairs": pairs[True],
        "eval_config_version": 0.2,
        "masked_evaluation": False,
    }
    write_json(folder / EVALUATION_NAME, evaluation)
    write_json(folder / JSON_NAME, content)


def _write_hidden(folder: Path, hidden: HiddenTissues) -> None:
    write_json(folder / TRUTH / "tissues.json", hidden.to_dict(tuple(hidden.table)))


def _voxels(volume: Volume, points_mm: torch.Tensor) -> torch.Tensor:
    matrix = volume.voxel_from_world
    return points_mm @ matrix[:3, :3].T + matrix[:3, 3]
