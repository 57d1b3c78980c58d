"""What an evaluation leaves in a folder: JSON, tables, a text, a picture, and fields for the challenge.

Every file is written aside and moved into place.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffus
from diffus.datasets.case_files import CaseFiles
from diffus.datasets.pair import Pair
from diffus.files import write_json, write_text
from diffus.learning import challenge
from diffus.learning.evaluation import CaseEvaluation, Evaluation, RegisteredCase
from diffus.learning.frame_scores import MEASURES
from diffus.learning.shown_frame import save_frames

FILE_FORMAT = "diffus-evaluation"
FILE_VERSION = 1
CASE_COLUMNS = (
    "case",
    "contrasts",
    "frames",
    *MEASURES,
    "tre_mm",
    "registered_tre_mm",
    "registered_tre30_mm",
    "sd_log_jacobian",
    "foldings",
    "verdict",
)


def write_evaluation(out: Path, evaluation: Evaluation) -> dict[str, Path]:
    """Write ``evaluation.json``, ``cases.csv``, ``frames.csv``, ``summary.txt`` and ``frames.png``.

    Args:
        out: folder; made if it is not there.
        evaluation: what to write.

    Returns:
        path of each file by what it is.

    Raises:
        ValueError: when the folder cannot be written to.
    """
    shown = [frame for case in evaluation.cases for frame in case.shown]
    return {
        "everything": write_json(out / "evaluation.json", to_dict(evaluation)),
        "cases": _write_table(out / "cases.csv", CASE_COLUMNS, [_row(case) for case in evaluation.cases]),
        "frames": _write_frames(out / "frames.csv", evaluation),
        "what was found": write_text(out / "summary.txt", summary(evaluation) + "\n"),
        "pictures": save_frames(out / "frames.png", shown),
    }


def save_fields(folder: Path, files: CaseFiles, pair: Pair, registered: RegisteredCase) -> list[Path]:
    """Write a registration as displacement fields of the challenge, one for each MRI of the case.

    Args:
        folder: where to.
        files: of the case, whose names give those of the fields.
        pair: the same case in memory.
        registered: what was found.

    Raises:
        ValueError: for names that are not those of the challenge.
    """
    assert files.ultrasound is not None
    ultrasound = pair.ultrasound
    written = []
    for contrast, moving in files.contrasts.items():
        mri = pair.contrasts[contrast]
        field = challenge.displacement_from_rigid(registered.mri_from_ultrasound, ultrasound, mri)
        path = folder / f"{challenge.field_name(files.ultrasound, moving)}.nii.gz"
        written.append(challenge.save_field(path, field, ultrasound.world_from_voxel))
    return written


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the single frames, as plain values."""
    settings = evaluation.settings
    scores = [case.registered.score for case in evaluation.cases if case.registered and case.registered.score]
    return {
        "format": FILE_FORMAT,
        "version": FILE_VERSION,
        "made_by": f"diffus {diffus.__version__}",
        "frame": "RAS+",
        "unit": "mm",
        "model": {"kind": evaluation.model, "contrasts": list(evaluation.contrasts)},
        "settings": {
            "sampling": asdict(settings.sampling),
            "seed": settings.seed,
            "search": asdict(settings.registration.search) if settings.register else None,
        },
        "mean": asdict(evaluation.mean),
        "tre_mm": evaluation.tre_mm,
        "registered_tre_mm": evaluation.registered_tre_mm,
        "challenge": asdict(challenge.summarise(scores)) if scores else None,
        "cases": [_case_dict(case) for case in evaluation.cases],
        "skipped": dict(evaluation.skipped),
    }


def summary(evaluation: Evaluation) -> str:
    """A few lines for people."""
    mean = evaluation.mean
    measured = ", ".join(f"{name} {getattr(mean, name):.4f}" for name in MEASURES)
    lines = [
        f"model: {evaluation.model}, reads {', '.join(evaluation.contrasts)}",
        f"cases: {len(evaluation.cases)} evaluated, {len(evaluation.skipped)} skipped",
        f"mean over the cases: {measured}",
    ]
    if evaluation.tre_mm is not None:
        lines.append(f"TRE of the landmarks: {evaluation.tre_mm:.2f} mm as the pairs lie")
    if evaluation.registered_tre_mm is not None:
        lines.append(f"TRE after registration: {evaluation.registered_tre_mm:.2f} mm")
    lines += [f"skipped {case}: {reason}" for case, reason in evaluation.skipped.items()]
    return "\n".join(lines)


def _case_dict(case: CaseEvaluation) -> dict[str, Any]:
    registered = case.registered
    content: dict[str, Any] = {
        "case": case.case,
        "contrasts": list(case.contrasts),
        "frames": len(case.frames),
        "mean": asdict(case.mean),
        "tre_mm": case.tre_mm,
        "registered": None,
    }
    if registered is not None:
        score = registered.score
        judged = None if score is None else asdict(score)
        if judged is not None and score is not None:
            judged |= {"tre_mm": score.tre_mm, "tre30_mm": score.tre30_mm}
        content["registered"] = {
            "mri_from_ultrasound": registered.mri_from_ultrasound.tolist(),
            "verdict": registered.verdict,
            "tre_mm": registered.tre_mm,
            "challenge": judged,
        }
    return content


def _row(case: CaseEvaluation) -> list[Any]:
    registered = case.registered
    score = None if registered is None else registered.score
    mean = case.mean
    return [
        case.case,
        " ".join(case.contrasts),
        len(case.frames),
        *(getattr(mean, name) for name in MEASURES),
        case.tre_mm,
        None if registered is None else registered.tre_mm,
        None if score is None else score.tre30_mm,
        None if score is None else score.sd_log_jacobian,
        None if score is None else score.foldings,
        None if registered is None else registered.verdict,
    ]


def _write_frames(path: Path, evaluation: Evaluation) -> Path:
    rows = [
        [case.case, number, place, *(getattr(scores, name) for name in MEASURES)]
        for case in evaluation.cases
        for number, (place, scores) in enumerate(zip(case.places, case.frames, strict=True))
    ]
    return _write_table(path, ("case", "frame", "place", *MEASURES), rows)


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    """A CSV in which what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return write_text(path, text.getvalue())
