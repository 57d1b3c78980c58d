"""The best rigid motion under a score: sampling in rounds, then descents from the best places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.checks import require_in_range
from diffus.registration.checkpoint import step
from diffus.registration.motion import moved, pivot_at
from diffus.registration.search import Progress

Score = Callable[[Float64[Tensor, "B 4 4"]], Float[Tensor, " B"]]
"""Scores transforms, higher for better, differentiable in them."""

_DEGREES_PER_MM = 2.0
"""A step of so many degrees counts as one of a millimetre: what it moves at 30 mm from the pivot."""
GAIN = 100.0
"""Scores times this have slopes of about 1 for each millimetre, so that the first step is of that size."""
_AT_ONCE = 16
"""Transforms scored together, which bounds the memory."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How widely and how long a rigid motion is searched.

    Args:
        reach_mm: shifts up to this, along each axis, are tried.
        reach_deg: turns up to this, about each axis.
        n_starts: motions of the first round, low-discrepancy; 1 tries the initial transform alone.
        n_rounds: further rounds, each half as wide about the best of those before.
        n_descents: the best so many are descended at the coarsest level.
        n_finals: of where those end, the best so many under the next level's score are descended there.
        n_steps: steps of a descent at most.
        seed: of the motions tried.

    Raises:
        ValueError: for a number that cannot be.
    """

    reach_mm: float = 10.0
    reach_deg: float = 10.0
    n_starts: int = 256
    n_rounds: int = 2
    n_descents: int = 12
    n_finals: int = 3
    n_steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        counts = {name: getattr(self, name) for name in ("n_starts", "n_descents", "n_finals", "n_steps")}
        require_in_range(owner, 1, 100_000, **counts)
        require_in_range(owner, 0, 100, n_rounds=self.n_rounds)
        require_in_range(owner, 0, 1_000, reach_mm=self.reach_mm)
        require_in_range(owner, 0, 180, reach_deg=self.reach_deg)


class Found(NamedTuple):
    """What a search found.

    Args:
        transforms: distinct candidates after all levels, the best first.
        scores: of each, at the finest level.
        evaluations: transforms scored at each level, a gradient counting as one.
        trajectory: transforms on the way of the best candidate, each better than the one before in its level.
        trajectory_scores: of each, at its own level.
    """

    transforms: Float64[Tensor, "C 4 4"]
    scores: Float64[Tensor, " C"]
    evaluations: tuple[int, ...]
    trajectory: Float64[Tensor, "T 4 4"]
    trajectory_scores: Float64[Tensor, " T"]


def search(
    levels: Sequence[Score],
    initial: Float64[Tensor, "4 4"],
    centre_mm: Float64[Tensor, "3"],
    settings: SearchSettings,
    progress: Progress | None = None,
) -> Found:
    """Find the rigid motion with the best score, from coarse to fine.

    The first level is sampled: a Sobol sequence over the reach, then rounds of Gaussian samples about the
    best (the cross-entropy method: Rubinstein and Kroese, 2004). Its best samples are descended. Coarse
    scores have many rivals, so each further level ranks where those descents ended before it descends.
    Inside `checkpoint.kept_in` the sampling and each descent are kept as they end.

    Args:
        levels: scores from the coarsest to the finest.
        initial: transform about which to search.
        centre_mm: pivot of the turns, in the frame that the transform takes points from.
        settings: how widely and how long.
        progress: told of each part of the sampling and of each descent.
    """
    pivot = pivot_at(centre_mm)
    work = _Search(levels, initial, pivot, settings, progress)
    paths = [_Path.at(tangent) for tangent in work.sampled()]
    for number in range(len(levels)):
        if number > 0:
            paths = work.ranked(number, paths)[: settings.n_finals]
        paths = [work.descended(number, path, which, len(paths)) for which, path in enumerate(paths)]
    paths.sort(key=lambda path: path.score, reverse=True)
    return Found(
        moved(initial, torch.stack([path.end for path in paths]), pivot),
        torch.tensor([path.score for path in paths], dtype=torch.float64),
        tuple(work.evaluations),
        moved(initial, paths[0].trail, pivot),
        paths[0].trail_scores,
    )


class _Path(NamedTuple):
    """Where a descent ended, its score there, and the way to it."""

    end: Float64[Tensor, "6"]
    score: float
    trail: Float64[Tensor, "T 6"]
    trail_scores: Float64[Tensor, " T"]

    @classmethod
    def at(cls, tangent: Float64[Tensor, "6"]) -> _Path:
        """A path that has not left yet."""
        return cls(tangent, -torch.inf, tangent.new_zeros(0, 6), tangent.new_zeros(0))


class _Search:
    """The steps of a search, each of which is kept, and what they cost."""

    def __init__(
        self,
        levels: Sequence[Score],
        initial: Float64[Tensor, "4 4"],
        pivot: Float64[Tensor, "4 4"],
        settings: SearchSettings,
        progress: Progress | None,
    ) -> None:
        self.evaluations = [0] * len(levels)
        self._levels, self._settings = levels, settings
        self._initial, self._pivot = initial, pivot
        self._progress = progress

    def sampled(self) -> Float64[Tensor, "K 6"]:
        """Tangents of the best motions tried, well apart, the best first."""
        return self._step("sampling", 0, lambda level: {"tangents": self._tried(level)})["tangents"]

    def ranked(self, number: int, paths: list[_Path]) -> list[_Path]:
        """Paths by how good their ends are at a level, the best first."""
        places = torch.stack([path.end for path in paths])
        scores = self._step(
            f"ranking-{number + 1}", number, lambda level: {"scores": self._scored(level, places)}
        )["scores"]
        return [paths[which] for which in scores.argsort(descending=True).tolist()]

    def descended(self, number: int, path: _Path, which: int, count: int) -> _Path:
        """The path, gone on to the nearest best motion of a level."""
        self._tell(f"descents at level {number + 1} of {len(self._levels)}", which, count)
        found = self._step(
            f"descent-{number + 1}-{which + 1}", number, lambda level: self._descent(level, path.end)
        )
        return _Path(
            found["end"],
            float(found["score"]),
            torch.cat([path.trail, found["trail"]]),
            torch.cat([path.trail_scores, found["trail_scores"]]),
        )

    def _step(self, name: str, number: int, work: Callable[[Score], dict[str, Tensor]]) -> dict[str, Tensor]:
        def counted() -> dict[str, Tensor]:
            level = _Counted(self._levels[number])
            found = work(level)
            return found | {"evaluations": torch.tensor(level.count)}

        found = step(name, counted)
        self.evaluations[number] += int(found["evaluations"])
        return found

    def _tell(self, what: str, done: int, most: int) -> None:
        if self._progress is not None:
            self._progress(what, done, most)

    def _tried(self, level: Score) -> Float64[Tensor, "K 6"]:
        settings = self._settings
        reach = torch.tensor([settings.reach_deg] * 3 + [settings.reach_mm] * 3, dtype=torch.float64)
        sobol = torch.quasirandom.SobolEngine(6, scramble=True, seed=settings.seed)
        tangents = (2 * sobol.draw(settings.n_starts, dtype=torch.float64) - 1) * reach
        tangents[0] = 0
        generator = torch.Generator().manual_seed(settings.seed)
        scores = self._scored(level, tangents, f"sampling, round 1 of {settings.n_rounds + 1}")
        kept = max(settings.n_starts // 8, 1)
        for number in range(settings.n_rounds):
            best = tangents[scores.argsort(descending=True)[:kept]]
            spread = reach * 0.5 ** (number + 1) / 2
            noise = torch.randn(settings.n_starts // 2 // kept + 1, *best.shape, generator=generator).double()
            further = (best + spread * noise).reshape(-1, 6).clamp(-reach, reach)
            what = f"sampling, round {number + 2} of {settings.n_rounds + 1}"
            tangents = torch.cat([tangents, further])
            scores = torch.cat([scores, self._scored(level, further, what)])
        return _apart(tangents[scores.argsort(descending=True)], settings)

    @torch.no_grad()
    def _scored(
        self, level: Score, tangents: Float64[Tensor, "M 6"], what: str | None = None
    ) -> Float64[Tensor, " M"]:
        parts: list[Tensor] = []
        for part in tangents.split(_AT_ONCE):
            if what is not None:
                self._tell(what, len(parts) * _AT_ONCE, len(tangents))
            parts.append(level(moved(self._initial, part, self._pivot)))
        return torch.cat(parts).double()

    def _descent(self, level: Score, start: Float64[Tensor, "6"]) -> dict[str, Tensor]:
        """The nearest best motion, by L-BFGS with a line search, and what was best on the way."""
        scale = torch.tensor([_DEGREES_PER_MM] * 3 + [1.0] * 3, dtype=torch.float64)
        place = (start / scale).clone().requires_grad_()
        descent = torch.optim.LBFGS(
            [place],
            lr=1.0,
            max_iter=self._settings.n_steps,
            max_eval=2 * self._settings.n_steps,
            tolerance_change=1e-3,
            tolerance_grad=1e-3,
            line_search_fn="strong_wolfe",
        )
        best = [(start, -torch.inf)]

        def closure() -> Tensor:
            descent.zero_grad()
            score = level(moved(self._initial, (place * scale)[None], self._pivot))[0].double()
            loss = -GAIN * score
            loss.backward()
            if float(score.detach()) > best[-1][1]:
                best.append(((place.detach() * scale).clone(), float(score.detach())))
            return loss

        descent.step(closure)
        way = best[1:] or best
        scores = torch.tensor([score for _, score in way], dtype=torch.float64)
        trail = torch.stack([at for at, _ in way])
        return {"end": trail[-1], "score": scores[-1], "trail": trail, "trail_scores": scores}


class _Counted:
    """A score that counts what it scores."""

    def __init__(self, score: Score) -> None:
        self.count = 0
        self._score = score

    def __call__(self, transforms: Float64[Tensor, "B 4 4"]) -> Float[Tensor, " B"]:
        self.count += len(transforms)
        return self._score(transforms)


def _apart(ranked: Float64[Tensor, "M 6"], settings: SearchSettings) -> Float64[Tensor, "K 6"]:
    """Leave out what lies close to something better, so that the descents do not all end in one place."""
    scale = torch.tensor([_DEGREES_PER_MM] * 3 + [1.0] * 3, dtype=torch.float64)
    least = settings.reach_mm / 8
    kept = [ranked[0]]
    for tangent in ranked[1:]:
        if len(kept) == settings.n_descents:
            break
        if min(float(((tangent - other) / scale).norm()) for other in kept) > least:
            kept.append(tangent)
    return torch.stack(kept)
