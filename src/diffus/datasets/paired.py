"""Paired data of one's own: a CSV with a row for each patient."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from diffus.datasets.case_files import CaseFiles
from diffus.datasets.paired_dataset import PairedDataset

MRI_COLUMNS = {"mri": "t1", "t1": "t1", "cet1": "cet1", "t2": "t2", "flair": "flair"}
"""Columns of MRI and the contrast that each means; of ``mri`` the column ``contrast`` says it."""
OTHER_COLUMNS = ("case", "us", "contrast", "transform", "mask", "landmarks", "split")


def open_dataset(
    path: str | os.PathLike[str], split: str | None = None, cache: bool = False
) -> PairedDataset:
    """Open the cases of a CSV; volumes are read when asked for.

    Columns, in any order: ``us`` and at least one of ``mri``, ``t1``, ``cet1``, ``t2``, ``flair``. If wanted
    ``case`` (a name), ``contrast`` (of ``mri``: t1 if not given), ``transform`` (``mri_from_ultrasound``, see
    `diffus.io.matrix.read_rigid`), ``mask`` (of the brain, on the grid of the MRI),
    ``landmarks`` (`diffus.datasets.landmarks.read_landmark_pairs`) and ``split``. Paths are relative to the
    CSV. An empty cell is a file that the patient does not have.

    Args:
        path: the CSV.
        split: only rows with this word in the column ``split``.
        cache: keep what was read in memory.

    Raises:
        FileNotFoundError: when the CSV is not there, or any file that it names, listing them all.
        ValueError: for unknown or missing columns, and rows without MRI or ultrasound.
    """
    cases = list_cases(path)
    absent = [f"{case.case}: {file}" for case in cases for file in case.missing]
    if absent:
        raise FileNotFoundError(
            f"{path} names {len(absent)} files that are not there (paths are relative to its folder): "
            + "; ".join(absent)
        )
    if split is not None:
        known = sorted({case.split for case in cases})
        cases = [case for case in cases if case.split == split]
        if not cases:
            raise ValueError(f"{path} has no row of split {split!r}: expected one of {', '.join(known)}")
    return PairedDataset(cases, cache)


def list_cases(path: str | os.PathLike[str]) -> list[CaseFiles]:
    """The rows of the CSV, whether their files are there or not; raises as `open_dataset` otherwise."""
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"no such list of pairs: {source}")
    with source.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    columns = [name for name in (rows[0] if rows else {}) if name is not None]
    _check_columns(source, columns)
    return [_case(source, number, _cells(source, number, row)) for number, row in enumerate(rows, start=2)]


def _check_columns(source: Path, columns: list[str]) -> None:
    if not columns:
        raise ValueError(f"{source} is empty: expected a line of column names and a row for each patient")
    names = [column.strip().lower() for column in columns]
    known = (*MRI_COLUMNS, *OTHER_COLUMNS)
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < len(names):
        raise ValueError(
            f"{source}: columns {', '.join(columns)}: expected each once and out of {', '.join(known)}"
        )
    if "us" not in names or not set(names) & set(MRI_COLUMNS):
        raise ValueError(
            f"{source}: columns {', '.join(columns)}: expected us and one or more of {', '.join(MRI_COLUMNS)}"
        )


def _cells(source: Path, number: int, row: dict[str, str]) -> dict[str, str]:
    """The cells of a row that are not empty, by column."""
    if None in row or None in row.values():
        raise ValueError(f"{source}, line {number}: it has another number of cells than the first line")
    cells = {name.strip().lower(): cell.strip() for name, cell in row.items()}
    return {name: cell for name, cell in cells.items() if cell}


def _case(source: Path, number: int, cells: dict[str, str]) -> CaseFiles:
    name = cells.get("case", f"line {number}")
    place = f"{source}, {name}"
    contrasts: dict[str, Path] = {}
    for column, contrast in MRI_COLUMNS.items():
        if column not in cells:
            continue
        meant = cells.get("contrast", contrast).lower() if column == "mri" else contrast
        if meant not in MRI_COLUMNS.values() or meant in contrasts:
            raise ValueError(
                f"{place}: {column} is said to be {meant!r}: expected one of "
                f"{', '.join(dict.fromkeys(MRI_COLUMNS.values()))}, each at most once"
            )
        contrasts[meant] = source.parent / cells[column]
    if "us" not in cells or not contrasts:
        raise ValueError(
            f"{place}: expected a file of ultrasound in column us and at least one of MRI; leave the row out "
            "if the patient has none"
        )
    files = {key: source.parent / cells[key] for key in ("transform", "mask", "landmarks") if key in cells}
    return CaseFiles(
        name,
        source.parent / cells["us"],
        contrasts,
        split=cells.get("split", "training"),
        mask=files.get("mask"),
        transform=files.get("transform"),
        landmark_pairs=files.get("landmarks"),
        source=f"mend the path in {source.name}",
    )
