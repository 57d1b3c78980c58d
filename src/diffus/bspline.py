"""Free-form displacements: cubic B-splines on a lattice, their bending energy and where they fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.affine import check_affine, spacing_of
from diffus.checks import require_positive, require_shape

ORDER = 3


@dataclass(frozen=True, eq=False)
class BSplineDisplacement:
    """A displacement ``u(x) = sum_c B(x - x_c) u_c`` in the world, cubic B-splines on a lattice.

    Rueckert et al., "Nonrigid registration using free-form deformations", IEEE Trans. Med. Imaging 18(8),
    1999. Beyond the lattice it goes on as on its nearest face; ITK's transform has none there.

    Args:
        coefficients: (A, B, C, 3), displacements of the control points in mm, in world axes (RAS+); at least
            4 control points along each axis. May carry a gradient.
        world_from_control: (4, 4), place of control point (a, b, c); the first and last of each axis lie one
            spacing outside the domain, as cubic splines need them there.

    Raises:
        ValueError: for other shapes or a refused affine.
    """

    coefficients: Float[Tensor, "A B C 3"]
    world_from_control: Float64[Tensor, "4 4"]

    def __post_init__(self) -> None:
        shape = self.coefficients.shape
        fits = len(shape) == 4 and shape[-1] == 3 and min(shape[:3]) > ORDER
        require_shape("B-spline coefficients", shape, "(A, B, C, 3) with A, B and C of 4 or more", fits)
        object.__setattr__(self, "world_from_control", check_affine(self.world_from_control))

    @classmethod
    def at_rest(
        cls, world_from_voxel: Float64[Tensor, "4 4"], shape: Sequence[int], spacing_mm: float
    ) -> BSplineDisplacement:
        """No displacement, on a lattice that covers a grid, along its axes.

        Args:
            world_from_voxel: of the grid.
            shape: of the grid.
            spacing_mm: about how far apart the control points lie; a whole number of cells fills the grid.

        Raises:
            ValueError: for a spacing not above zero.
        """
        require_positive("B-spline", spacing_mm=spacing_mm)
        affine = check_affine(world_from_voxel)
        size = torch.tensor(spacing_of(affine), dtype=torch.float64) * (
            torch.tensor(list(shape), dtype=torch.float64) - 1
        )
        cells = (size / spacing_mm).ceil().clamp_min(1).long()
        steps = (size / cells).clamp_min(1e-3)
        lattice = torch.eye(4, dtype=torch.float64)
        axes = affine[:3, :3] / affine[:3, :3].norm(dim=0)
        lattice[:3, :3] = axes * steps
        lattice[:3, 3] = affine[:3, 3] - lattice[:3, :3].sum(dim=1)
        counts = (cells + ORDER).tolist()
        return cls(torch.zeros(*counts, 3, dtype=torch.float64), lattice)

    def with_coefficients(self, coefficients: Float[Tensor, "A B C 3"]) -> BSplineDisplacement:
        """Other displacements of the same control points."""
        return BSplineDisplacement(coefficients, self.world_from_control)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between control points along each axis."""
        return spacing_of(self.world_from_control)

    def at(self, points_mm: Float[Tensor, "*points 3"]) -> Float64[Tensor, "*points 3"]:
        """Displacement of world points, in mm."""
        place = self._lattice_index(points_mm.double())
        coefficients = self.coefficients.double()
        first = place.floor().clamp_min(1)
        limits = torch.tensor(coefficients.shape[:3], dtype=torch.float64) - 3
        first = torch.minimum(first, limits)
        weights = [cubic_weights(place[..., axis] - first[..., axis]) for axis in range(3)]
        found = torch.zeros(*place.shape[:-1], 3, dtype=torch.float64)
        low = first.long() - 1
        for a in range(4):
            for b in range(4):
                for c in range(4):
                    weight = weights[0][..., a] * weights[1][..., b] * weights[2][..., c]
                    node = coefficients[low[..., 0] + a, low[..., 1] + b, low[..., 2] + c]
                    found = found + weight[..., None] * node
        return found

    def _lattice_index(self, points_mm: Float64[Tensor, "*points 3"]) -> Float64[Tensor, "*points 3"]:
        matrix = torch.linalg.inv(self.world_from_control)
        index = points_mm @ matrix[:3, :3].T + matrix[:3, 3]
        last = torch.tensor(self.coefficients.shape[:3], dtype=torch.float64) - 2
        return torch.minimum(index.clamp_min(1), last)


class LatticeOnGrid:
    """A lattice's splines and their derivatives at the points of a grid along the lattice's axes.

    The splines separate, so that a dense field costs three small matrix products.

    Args:
        spline: whose lattice.
        world_from_voxel: of the grid; its axes are the lattice's.
        shape: of the grid.
    """

    def __init__(
        self, spline: BSplineDisplacement, world_from_voxel: Float64[Tensor, "4 4"], shape: Sequence[int]
    ) -> None:
        index = torch.linalg.inv(spline.world_from_control) @ world_from_voxel
        off_axis = index[:3, :3] - torch.diag(index[:3, :3].diagonal())
        if float(off_axis.abs().max()) > 1e-6:
            raise ValueError(
                "the grid's axes are not those of the B-spline lattice: build the lattice with "
                "BSplineDisplacement.at_rest of that grid"
            )
        self._spline = spline
        self._places = [
            index[axis, 3] + index[axis, axis] * torch.arange(size, dtype=torch.float64)
            for axis, size in enumerate(shape)
        ]

    def displacements(self, coefficients: Float[Tensor, "A B C 3"]) -> Float64[Tensor, "I J K 3"]:
        """The field at the grid's points, in mm, world axes."""
        return self._spread(coefficients, (0, 0, 0))

    def bending_energy(self, coefficients: Float[Tensor, "A B C 3"]) -> Float64[Tensor, ""]:
        """Mean over the grid of the squared second derivatives, per mm^2 (Rueckert et al. 1999, eq. 5)."""
        spacing = self._spline.spacing_mm
        total = torch.zeros((), dtype=torch.float64)
        for first in range(3):
            for second in range(first, 3):
                orders = tuple((axis == first) + (axis == second) for axis in range(3))
                scale = spacing[first] * spacing[second]
                field = self._spread(coefficients, orders) / scale
                total = total + (1 if first == second else 2) * field.square().sum(dim=-1).mean()
        return total

    def jacobian_determinants(self, coefficients: Float[Tensor, "A B C 3"]) -> Float64[Tensor, "I J K"]:
        """Determinant of the derivative of ``x + u(x)``: how volume grows; not above 0 where it folds."""
        columns = [
            self._spread(coefficients, tuple(int(axis == along) for axis in range(3))) for along in range(3)
        ]
        by_index = torch.stack(columns, dim=-1)
        index_from_world = torch.linalg.inv(self._spline.world_from_control[:3, :3])
        jacobian = by_index @ index_from_world + torch.eye(3, dtype=torch.float64)
        first, second, third = jacobian.unbind(dim=-2)
        return (first * torch.linalg.cross(second, third)).sum(dim=-1)

    def bases(self, order: int) -> list[Float64[Tensor, "n controls"]]:
        """Value (order 0) or derivative of each spline at each place of the grid, axis by axis."""
        return [basis[order] for basis in self._bases]

    def _spread(self, coefficients: Tensor, orders: tuple[int, ...]) -> Float64[Tensor, "I J K 3"]:
        a, b, c = (self._bases[axis][order] for axis, order in enumerate(orders))
        values = coefficients.double()
        values = torch.einsum("kc,abcd->abkd", c, values)
        values = torch.einsum("jb,abkd->ajkd", b, values)
        return torch.einsum("ia,ajkd->ijkd", a, values)

    @cached_property
    def _bases(self) -> list[list[Float64[Tensor, "n controls"]]]:
        """For each axis the splines' values, first and second derivatives, per lattice spacing."""
        counts = self._spline.coefficients.shape[:3]
        return [
            [_basis(places, count, order) for order in range(3)]
            for places, count in zip(self._places, counts, strict=True)
        ]


def cubic_weights(share: Float[Tensor, "*points"]) -> Float[Tensor, "*points 4"]:
    """Weights of the four control points around a place, given how far it lies beyond the second."""
    distances = torch.stack([share + 1, share, 1 - share, 2 - share], dim=-1)
    return _cubic(distances, 0)


def _basis(places: Float64[Tensor, " n"], count: int, order: int) -> Float64[Tensor, "n count"]:
    inside = places.clamp(1, count - 2)
    distance = inside[:, None] - torch.arange(count, dtype=torch.float64)
    values = _cubic(distance, order)
    if order:
        values = values * ((places >= 1 - 1e-9) & (places <= count - 2 + 1e-9))[:, None]
    return values


def _cubic(distance: Tensor, order: int) -> Tensor:
    """The cubic B-spline or its first or second derivative."""
    size, side = distance.abs(), distance.sign()
    inner, outer = size <= 1, (size > 1) & (size < 2)
    if order == 0:
        near, far = 2 / 3 - size**2 + size**3 / 2, (2 - size) ** 3 / 6
    elif order == 1:
        near, far = side * (-2 * size + 1.5 * size**2), -side * (2 - size) ** 2 / 2
    else:
        near, far = 3 * size - 2, 2 - size
    return torch.where(inner, near, torch.where(outer, far, torch.zeros_like(size)))
