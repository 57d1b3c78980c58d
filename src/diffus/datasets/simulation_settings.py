"""What a simulated dataset holds: how many cases, how large, and what is hidden in them."""

from __future__ import annotations

from dataclasses import dataclass

from diffus.checks import require_in_range, require_positive


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """What is made.

    Args:
        cases: how many, validation included.
        validation: how many of them are for validation; they come last.
        size: voxels along each side of the volumes.
        spacing_mm: of the voxels.
        n_frames: frames of a sweep.
        offset_mm: standard deviation of each component of the shift between MRI and ultrasound.
        offset_deg: standard deviation of each component of their turn.
        n_landmarks: landmarks of each case, at most.
        hidden_variation: standard deviation of the logarithm of the dataset's tissue values about those that
            the library renders untrained: what there is to learn. 0 to hide nothing.
        case_variation: the same of each case's values about the dataset's.
        missing_share: chance that a case lacks one of its contrasts, as in the real dataset.
        seed: of everything that is random.

    Raises:
        ValueError: for a number that cannot be.
    """

    cases: int = 4
    validation: int = 1
    size: int = 256
    spacing_mm: float = 0.5
    n_frames: int = 160
    offset_mm: float = 2.0
    offset_deg: float = 2.0
    n_landmarks: int = 16
    hidden_variation: float = 0.2
    case_variation: float = 0.05
    missing_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        require_in_range(owner, 1, 9999, cases=self.cases)
        require_in_range(owner, 0, self.cases, validation=self.validation)
        require_in_range(owner, 24, 1024, size=self.size)
        require_positive(owner, spacing_mm=self.spacing_mm)
        require_in_range(owner, 20, 400, **{"size times spacing_mm": self.size * self.spacing_mm})
        require_in_range(owner, 8, 5000, n_frames=self.n_frames)
        require_in_range(owner, 0, 30, offset_mm=self.offset_mm, offset_deg=self.offset_deg)
        require_in_range(owner, 1, 1000, n_landmarks=self.n_landmarks)
        require_in_range(
            owner, 0, 1, hidden_variation=self.hidden_variation, case_variation=self.case_variation
        )
        require_in_range(owner, 0, 1, missing_share=self.missing_share)
