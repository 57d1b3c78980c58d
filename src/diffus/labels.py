"""Label maps: what each label value is to a wave, from a built-in table or the user's CSV or JSON."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from diffus.checks import require_one_of, require_shape
from diffus.files import read_json
from diffus.label_tables import NUMBERINGS
from diffus.tissues import tissue

LARGEST_LABEL = 2**20
"""Label values reach from 0 to here; FreeSurfer's largest is 14175."""
_COLUMNS = ("label", "name", "tissue", "impedance_mrayl", "attenuation_db_per_cm_mhz", "backscatter")
_VALUES = _COLUMNS[3:]
_SLAB_VOXELS = 2**20


class LabelRow(NamedTuple):
    """Acoustic values of one label: impedance in MRayl, attenuation in dB/cm/MHz, relative backscatter."""

    name: str
    impedance_mrayl: float
    attenuation_db_per_cm_mhz: float
    backscatter: float


@dataclass(frozen=True)
class LabelTable:
    """What the labels of a label map are.

    Args:
        name: of the table, for messages.
        rows: acoustic values by label value.
        background: what label 0 stands for, in words.
        from_image: labels that say too little about their content: 0, which is air as well as unlabelled
            tissue in a body, and hollow organs. Where a CT is given beside the labels, its values are the
            better ones there; without it, the table's are used.

    Raises:
        ValueError: for a table without rows, or a label outside 0 to `LARGEST_LABEL`.
    """

    name: str
    rows: Mapping[int, LabelRow]
    background: str
    from_image: frozenset[int] = frozenset({0})

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError(f"label table {self.name} has no rows")
        bad = [label for label in self.rows if not 0 <= label <= LARGEST_LABEL]
        if bad:
            raise ValueError(f"label table {self.name}: labels must lie in [0, {LARGEST_LABEL}], got {bad}")

    def look_up(
        self,
        labels: Shaped[Tensor, "I J K"],
        out: Float[Tensor, "I J K 3"] | None = None,
        keep: Collection[int] = (),
    ) -> Float[Tensor, "I J K 3"]:
        """Impedance, attenuation and backscatter of every voxel, slab by slab.

        Args:
            labels: label values; whole numbers of any type.
            out: filled where given, and returned. float32 otherwise.
            keep: labels whose voxels keep what ``out`` holds (such as values from a CT); they need no row.

        Raises:
            ValueError: when the values are not whole numbers, or for labels without a row, listing them with
                their voxel counts.
        """
        if out is None:
            out = torch.zeros(*labels.shape, 3, device=labels.device)
        require_shape("out", out.shape, f"{(*labels.shape, 3)}", out.shape == (*labels.shape, 3))
        size = self._check(labels, keep) + 1
        values = torch.zeros(size, 3, dtype=out.dtype, device=out.device)
        for label, row in self.rows.items():
            if label < size:
                values[label] = torch.tensor(row[1:], dtype=out.dtype)
        kept = torch.tensor([label for label in keep if label < size], dtype=torch.long, device=out.device)
        rows = _rows_a_slab(labels)
        for part, target in zip(labels.split(rows), out.split(rows), strict=True):
            index = part.to(device=out.device, dtype=torch.long)
            found = values[index]
            if len(kept):
                found = torch.where(torch.isin(index, kept)[..., None], target, found)
            target.copy_(found)
        return out

    def _check(self, labels: Tensor, keep: Collection[int]) -> int:
        """Refuse what is not a label map of this table; the largest label value."""
        if labels.is_complex():
            raise ValueError("label map holds complex numbers, expected whole label values")
        low, high = float(labels.min()), float(labels.max())
        if low < 0 or high > LARGEST_LABEL or math.isnan(low):
            raise ValueError(
                f"label map holds values from {low:g} to {high:g}, expected whole numbers in "
                f"[0, {LARGEST_LABEL}]: is this an image rather than a label map?"
            )
        counts = torch.zeros(int(high) + 1, dtype=torch.long)
        for part in labels.split(_rows_a_slab(labels)):
            whole = part.long()
            if part.is_floating_point() and bool((part != whole).any()):
                example = float(part[part != whole][0])
                raise ValueError(
                    f"label map holds values that are not whole numbers, such as {example:.9g}: it may have "
                    "been interpolated; resample labels with nearest neighbour, or give the image itself"
                )
            counts += torch.bincount(whole.reshape(-1), minlength=len(counts)).cpu()
        missing = {
            label: int(counts[label])
            for label in counts.nonzero()[:, 0].tolist()
            if label not in self.rows and label not in keep
        }
        if missing:
            raise ValueError(self._missing(missing))
        return int(high)

    def _missing(self, missing: Mapping[int, int]) -> str:
        shown = ", ".join(f"{label} ({count} voxels)" for label, count in list(missing.items())[:20])
        more = f" and {len(missing) - 20} more" if len(missing) > 20 else ""
        return (
            f"label table {self.name} has no row for {len(missing)} label values of this map: {shown}{more}. "
            f"Choose another table ({', '.join(NUMBERINGS)}), or give a CSV or JSON file with a row for "
            "every label"
        )


def label_table(name_or_path: str | os.PathLike[str]) -> LabelTable:
    """A built-in table by name (freesurfer, fast, totalsegmentator, tissues), or the user's CSV or JSON file.

    A file has one row a label. Column ``label`` holds its value; ``tissue`` names a row of the tissue table;
    ``impedance_mrayl``, ``attenuation_db_per_cm_mhz`` and ``backscatter`` give values, or change those of the
    tissue; ``name`` is free. JSON is a list of objects with the same keys. Empty CSV cells count as not
    given.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for an unknown name or a file that is not such a table, naming the row.
    """
    text = str(name_or_path)
    if text in NUMBERINGS:
        return _built_in(text)
    path = Path(text)
    extension = path.suffix.lower()
    if extension not in (".csv", ".json"):
        require_one_of("label table (or give a .csv or .json file)", text, NUMBERINGS)
    records = _read_csv(path) if extension == ".csv" else _read_json(path)
    rows: dict[int, LabelRow] = {}
    for where, record in records:
        label, row = _row(where, record)
        if label in rows:
            raise ValueError(f"{where}: label {label} stands twice in the table")
        rows[label] = row
    if not rows:
        raise ValueError(f"{path}: the label table has no rows")
    background = rows[0].name if 0 in rows else "not in the table"
    return LabelTable(text, rows, f"label 0: {background}")


def _built_in(name: str) -> LabelTable:
    content = NUMBERINGS[name]()
    rows = {
        label: LabelRow(structure, *tissue(of).acoustic) for label, (structure, of) in content.tissues.items()
    }
    return LabelTable(name, rows, content.background, content.from_image)


def _rows_a_slab(labels: Tensor) -> int:
    return max(1, _SLAB_VOXELS // max(1, labels[0].numel()))


def _read_csv(path: Path) -> list[tuple[str, dict[str, Any]]]:
    if not path.is_file():
        raise FileNotFoundError(f"label table not found: {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV label table: {error}") from error
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    _require_columns(str(path), [name.strip() for name in reader.fieldnames or []])
    records = []
    for record in reader:
        where = f"{path}, line {reader.line_num}"
        if None in record:
            raise ValueError(f"{where}: more cells than columns")
        given = {key.strip(): value.strip() for key, value in record.items() if value and value.strip()}
        if given:
            records.append((where, given))
    return records


def _read_json(path: Path) -> list[tuple[str, dict[str, Any]]]:
    content = read_json(path, "label table")
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise ValueError(
            f'{path}: a label table is a list of objects such as {{"label": 4, "tissue": "csf"}}'
        )
    records = [(f"{path}, row {number}", record) for number, record in enumerate(content, 1)]
    for where, record in records:
        _require_columns(where, list(record))
    return records


def _require_columns(where: str, names: list[str]) -> None:
    for name in names:
        if name not in _COLUMNS:
            raise ValueError(f"{where}: unknown column {name!r}, expected some of {', '.join(_COLUMNS)}")
    if "label" not in names:
        raise ValueError(f"{where}: no column 'label', got {', '.join(names) or 'nothing'}")


def _row(where: str, record: Mapping[str, Any]) -> tuple[int, LabelRow]:
    label = _number(where, "label", record.get("label"))
    if label != round(label) or not 0 <= label <= LARGEST_LABEL:
        raise ValueError(
            f"{where}: label must be a whole number in [0, {LARGEST_LABEL}], got {record['label']}"
        )
    name = record.get("tissue")
    values = [math.nan] * 3
    if name is not None:
        try:
            values = list(tissue(str(name)).acoustic)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    for position, column in enumerate(_VALUES):
        if record.get(column) is not None:
            values[position] = _number(where, column, record[column])
    absent = [column for column, value in zip(_VALUES, values, strict=True) if math.isnan(value)]
    if absent:
        raise ValueError(f"{where}: give a tissue, or {' and '.join(absent)}")
    if values[0] <= 0 or min(values) < 0:
        raise ValueError(
            f"{where}: impedance must be above 0, attenuation and backscatter not below, got {values}"
        )
    return int(label), LabelRow(str(record.get("name") or name or f"label {label:g}"), *values)


def _number(where: str, column: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"{where}: {column} must be a number, got {value!r}")
    return number
