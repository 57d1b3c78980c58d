"""The best rigid motion under a score: sampling in rounds, then descents from the best places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_in_range

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
    """

    transforms: Float64[Tensor, "C 4 4"]
    scores: Float64[Tensor, " C"]
    evaluations: tuple[int, ...]


def search(
    levels: Sequence[Score],
    initial: Float64[Tensor, "4 4"],
    centre_mm: Float64[Tensor, "3"],
    settings: SearchSettings,
) -> Found:
    """Find the rigid motion with the best score, from coarse to fine.

    The first level is sampled: a Sobol sequence over the reach, then rounds of Gaussian samples about the
    best (the cross-entropy method: Rubinstein and Kroese, 2004). Its best samples are descended. Coarse
    scores have many rivals, so each further level ranks where those descents ended before it descends.

    Args:
        levels: scores from the coarsest to the finest.
        initial: transform about which to search.
        centre_mm: pivot of the turns, in the frame that the transform takes points from.
        settings: how widely and how long.
    """
    counts = [_Counted(level) for level in levels]
    tangents = _sampled(counts[0], initial, centre_mm, settings)
    ends = [_descend(counts[0], initial, centre_mm, start, settings.n_steps) for start in tangents]
    for level in counts[1:]:
        places = torch.stack([tangent for tangent, _ in ends])
        order = _scored(level, initial, centre_mm, places).argsort(descending=True)
        starts = places[order[: settings.n_finals]]
        ends = [_descend(level, initial, centre_mm, start, settings.n_steps) for start in starts]
    ends.sort(key=lambda end: end[1], reverse=True)
    tangents = torch.stack([tangent for tangent, _ in ends])
    scores = torch.tensor([score for _, score in ends], dtype=torch.float64)
    return Found(moved(initial, centre_mm, tangents), scores, tuple(level.count for level in counts))


def moved(
    initial: Float64[Tensor, "4 4"], centre_mm: Float64[Tensor, "3"], tangents: Float64[Tensor, "B 6"]
) -> Float64[Tensor, "B 4 4"]:
    """``initial @ motion``, each motion a turn about the centre (degrees) and a shift (mm)."""
    centre = torch.eye(4, dtype=torch.float64)
    centre[:3, 3] = centre_mm
    return pose.compose(initial, centre, pose.exp(tangents), pose.inverse(centre))


class _Counted:
    """A score that counts what it scores."""

    def __init__(self, score: Score) -> None:
        self.count = 0
        self._score = score

    def __call__(self, transforms: Float64[Tensor, "B 4 4"]) -> Float[Tensor, " B"]:
        self.count += len(transforms)
        return self._score(transforms)


def _sampled(
    level: Score, initial: Tensor, centre_mm: Tensor, settings: SearchSettings
) -> Float64[Tensor, "M 6"]:
    """Tangents of the motions tried, the best first."""
    reach = torch.tensor([settings.reach_deg] * 3 + [settings.reach_mm] * 3, dtype=torch.float64)
    sobol = torch.quasirandom.SobolEngine(6, scramble=True, seed=settings.seed)
    tangents = (2 * sobol.draw(settings.n_starts, dtype=torch.float64) - 1) * reach
    tangents[0] = 0
    generator = torch.Generator().manual_seed(settings.seed)
    scores = _scored(level, initial, centre_mm, tangents)
    kept = max(settings.n_starts // 8, 1)
    for number in range(settings.n_rounds):
        best = tangents[scores.argsort(descending=True)[:kept]]
        spread = reach * 0.5 ** (number + 1) / 2
        noise = torch.randn(settings.n_starts // 2 // kept + 1, *best.shape, generator=generator).double()
        further = (best + spread * noise).reshape(-1, 6).clamp(-reach, reach)
        tangents = torch.cat([tangents, further])
        scores = torch.cat([scores, _scored(level, initial, centre_mm, further)])
    return _apart(tangents[scores.argsort(descending=True)], settings)


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


@torch.no_grad()
def _scored(level: Score, initial: Tensor, centre_mm: Tensor, tangents: Tensor) -> Float64[Tensor, " M"]:
    parts = [level(moved(initial, centre_mm, part)) for part in tangents.split(_AT_ONCE)]
    return torch.cat(parts).double()


def _descend(
    level: Score, initial: Tensor, centre_mm: Tensor, start: Float64[Tensor, "6"], n_steps: int
) -> tuple[Float64[Tensor, "6"], float]:
    """The nearest best motion, by L-BFGS with a line search, and its score."""
    scale = torch.tensor([_DEGREES_PER_MM] * 3 + [1.0] * 3, dtype=torch.float64)
    place = (start / scale).clone().requires_grad_()
    descent = torch.optim.LBFGS(
        [place],
        lr=1.0,
        max_iter=n_steps,
        max_eval=2 * n_steps,
        tolerance_change=1e-3,
        tolerance_grad=1e-3,
        line_search_fn="strong_wolfe",
    )
    best, at = -torch.inf, start

    def closure() -> Tensor:
        nonlocal best, at
        descent.zero_grad()
        score = level(moved(initial, centre_mm, (place * scale)[None]))[0].double()
        loss = -GAIN * score
        loss.backward()
        if float(score.detach()) > best:
            best, at = float(score.detach()), (place.detach() * scale).clone()
        return loss

    descent.step(closure)
    return at, best
