"""Where a registration begins: poses spread evenly around the initial one, the best of them, well apart."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.registration.motion import displacement_mm, moved


def starts_around(
    initial: Float64[Tensor, "4 4"],
    count: int,
    reach_mm: float,
    reach_deg: float,
    pivot: Float64[Tensor, "4 4"],
    seed: int = 0,
) -> Float64[Tensor, "count 4 4"]:
    """Poses within a ball of translations and a ball of rotation vectors; the first is the initial one.

    A scrambled Sobol sequence (Owen, Journal of Complexity 1998) fills both balls evenly however many poses
    are taken, which independent draws do not.

    Args:
        initial: middle of the balls.
        count: number of poses.
        reach_mm: radius of the ball of translations of the pivot.
        reach_deg: radius of the ball of rotation vectors about the pivot.
        pivot: see `motion.moved`.
        seed: of the scrambling.
    """
    if count == 1:
        return initial[None]
    sobol = torch.quasirandom.SobolEngine(6, scramble=True, seed=seed)
    share = sobol.draw(count - 1, dtype=torch.float64)
    tangent = torch.cat([_in_ball(share[:, :3]) * reach_deg, _in_ball(share[:, 3:]) * reach_mm], dim=1)
    return torch.cat([initial[None], moved(initial, tangent, pivot)])


def best_apart(
    poses: Float64[Tensor, "n 4 4"],
    cost: Float[Tensor, " n"],
    count: int,
    apart_mm: float,
    points: Float64[Tensor, "P 3"],
) -> Tensor:
    """Numbers of the poses of least cost, none within a distance of a better one; the best come first.

    Args:
        poses: to choose from.
        cost: the less the better.
        count: how many at most.
        apart_mm: least mean displacement of the points between two that are chosen.
        points: of what is seen, in the frame that the poses place.
    """
    chosen: list[int] = []
    for number in cost.argsort().tolist():
        if len(chosen) == count:
            break
        if not chosen or float(displacement_mm(poses[chosen], poses[number], points).min()) >= apart_mm:
            chosen.append(number)
    return torch.tensor(chosen, dtype=torch.long)


def _in_ball(share: Float64[Tensor, "n 3"]) -> Float64[Tensor, "n 3"]:
    """From the unit cube to the unit ball, keeping volumes alike."""
    radius = share[:, 0] ** (1 / 3)
    height = 2 * share[:, 1] - 1
    across, turn = (1 - height**2).clamp_min(0).sqrt(), 2 * math.pi * share[:, 2]
    return radius[:, None] * torch.stack([across * turn.cos(), across * turn.sin(), height], dim=1)
