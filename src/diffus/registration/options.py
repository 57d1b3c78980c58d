"""What a registration may be told: how far to look, from how many starts, and in which stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diffus.checks import require_in_range
from diffus.registration.stages import COARSE_TO_FINE, SURVEY, WHOLE_TISSUE, Stage


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How the pose is looked for.

    Args:
        reach_mm: how far the true pose may be from the initial one, as a shift of the sector's middle.
        reach_deg: and as a turn about it.
        n_survey: poses that are looked at coarsely before any descent; 1 looks at the initial one alone.
        n_starts: of them, those that a descent begins at, the initial one always among them.
        n_around: poses that are looked at once more near the best end of the first stage, where the search
            began with a survey; 0 for none.
        survey: how the survey looks at images.
        stages: how the descents do, coarse to fine.
        whole_tissue: how a descent ends where the medium turns out to explain the image (`trust`); None to
            end it with the last stage in any case.
        frames_at_once: frames of a sweep that one stage looks at, drawn anew for each; the last stage takes
            up to four times as many.
        seed: of the survey's poses and the draws of frames: the same seed gives the same answer.
    """

    reach_mm: float = 12.0
    reach_deg: float = 12.0
    n_survey: int = 4096
    n_starts: int = 48
    n_around: int = 256
    survey: Stage = SURVEY
    stages: Sequence[Stage] = COARSE_TO_FINE
    whole_tissue: Stage | None = WHOLE_TISSUE
    frames_at_once: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        require_in_range("SearchOptions", 0.0, 200.0, reach_mm=self.reach_mm)
        require_in_range("SearchOptions", 0.0, 180.0, reach_deg=self.reach_deg)
        for name in ("n_survey", "n_starts", "frames_at_once"):
            require_in_range("SearchOptions", 1, 1_000_000, **{name: getattr(self, name)})
        require_in_range("SearchOptions", 0, 1_000_000, n_around=self.n_around)
        if not self.stages:
            raise ValueError("SearchOptions: stages is empty, expected one Stage or more, coarse to fine")
