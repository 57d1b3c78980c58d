"""From scanlines to a Cartesian image in mm, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus.checks import require_positive, require_shape
from diffus.probe import Probe
from diffus.scalars import as_scalar, number


@dataclass(frozen=True)
class PixelGrid:
    """Square pixels in the image plane of a probe, rows down the depth, columns along x.

    Args:
        x_mm: centre of the first column, in the probe frame.
        z_mm: centre of the first row.
        spacing_mm: side of a pixel.
        shape: rows and columns (H, W).
    """

    x_mm: float
    z_mm: float
    spacing_mm: float
    shape: tuple[int, int]

    @classmethod
    def around(
        cls, probe: Probe, spacing_mm: float | None = None, shape: tuple[int, int] | None = None
    ) -> PixelGrid:
        """The grid that holds a probe's field of view, centred on it.

        Args:
            probe: whose field of view.
            spacing_mm: side of a pixel; by default one that suits the number of depth samples.
            shape: rows and columns instead; the side is then the smallest that holds the field of view.

        Raises:
            ValueError: when both are given, or one is not above zero.
        """
        left, right, top, bottom = probe.plane_bounds_mm()
        width, height = right - left, bottom - top
        if shape is not None:
            if spacing_mm is not None:
                raise ValueError("give spacing_mm or shape of the Cartesian image, not both")
            if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
                raise ValueError(
                    f"shape of the Cartesian image must be two whole numbers above 0, got {shape}"
                )
            spacing = max(width / shape[1], height / shape[0])
            rows, columns = shape
        else:
            spacing = number(probe.depth_mm) / probe.n_samples if spacing_mm is None else float(spacing_mm)
            require_positive("Cartesian image", spacing_mm=spacing)
            rows, columns = (max(1, round(size / spacing)) for size in (height, width))
        first_x = (left + right) / 2 - (columns - 1) / 2 * spacing
        first_z = (top + bottom) / 2 - (rows - 1) / 2 * spacing
        return cls(first_x, first_z, spacing, (rows, columns))

    def centres_mm(self) -> tuple[Float64[Tensor, "H W"], Float64[Tensor, "H W"]]:
        """X and z of the middle of each pixel."""
        rows, columns = self.shape
        x = self.x_mm + self.spacing_mm * torch.arange(columns, dtype=torch.float64)
        z = self.z_mm + self.spacing_mm * torch.arange(rows, dtype=torch.float64)
        return x.expand(rows, columns), z[:, None].expand(rows, columns)

    def edges_mm(self) -> tuple[float, float, float, float]:
        """Outer edges left, right, top and bottom, for axes in mm."""
        rows, columns = self.shape
        half = self.spacing_mm / 2
        right = self.x_mm + (columns - 1) * self.spacing_mm + half
        bottom = self.z_mm + (rows - 1) * self.spacing_mm + half
        return self.x_mm - half, right, self.z_mm - half, bottom

    def probe_from_pixel(self, thickness_mm: float = 1.0) -> Float64[Tensor, "4 4"]:
        """Affine of the image as a slab of voxels (column, row, 0) one slice thick, right-handed."""
        matrix = torch.zeros(4, 4, dtype=torch.float64)
        matrix[0, 0] = matrix[2, 1] = self.spacing_mm
        matrix[1, 2] = -thickness_mm
        matrix[:, 3] = torch.tensor([self.x_mm, 0.0, self.z_mm, 1.0], dtype=torch.float64)
        return matrix


def to_cartesian(image: Float[Tensor, "B S N"], probe: Probe, grid: PixelGrid) -> Float[Tensor, "B H W"]:
    """Interpolate scanlines bilinearly at the pixels; zero outside the field of view.

    Differentiable in the image and in the probe's geometry. Where the pixels lie among the scanlines is kept
    for the next image of the same probe and grid.
    """
    geometry = (getattr(probe, field.name) for field in fields(probe))
    places = _places if any(isinstance(value, Tensor) for value in geometry) else _kept_places
    line, sample, pixels = places(probe, grid, image.dtype, image.device)
    values = sample_scanlines(image, line, sample, probe.wraps)
    rows, columns = grid.shape
    canvas = image.new_zeros(len(image), rows * columns)
    return canvas.index_copy(1, pixels, values).reshape(-1, rows, columns)


def _places(
    probe: Probe, grid: PixelGrid, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Fractional scanline, fractional sample, and number of each pixel in the field of view."""
    x, z = (values.to(device, dtype).flatten() for values in grid.centres_mm())
    pixels = probe.field_of_view_mask(x, z).nonzero()[:, 0]
    line, depth = probe.scanline_coordinates(x[pixels], z[pixels])
    return line, depth / as_scalar(probe.sample_spacing_mm, depth) - 0.5, pixels


_kept_places = lru_cache(maxsize=8)(_places)


def to_scanlines(
    image: Float[Tensor, "B H W"], probe: Probe, grid: PixelGrid
) -> tuple[Float[Tensor, "B S N"], Bool[Tensor, "S N"]]:
    """Inverse scan conversion: a Cartesian image, as a real one, back on scanlines.

    Bilinear between pixels. Differentiable in the image and in the probe's geometry.

    Args:
        image: pixels of a grid.
        probe: where the scanlines run.
        grid: where the pixels lie in the probe frame.

    Returns:
        Values, and which of them lie within the image; the others are those of its border.

    Raises:
        ValueError: when the image does not have the shape of the grid.
    """
    _require_grid(image, grid)
    points = probe.sample_points_mm()
    column = (points[..., 0] - grid.x_mm) / grid.spacing_mm
    row = (points[..., 2] - grid.z_mm) / grid.spacing_mm
    rows, columns = grid.shape
    slack = 0.5
    inside = (
        (column >= -slack) & (column <= columns - 1 + slack) & (row >= -slack) & (row <= rows - 1 + slack)
    )
    values = sample_scanlines(image, row.to(image), column.to(image), wraps=False)
    return values, inside.detach().to(image.device)


def recover_scanlines(
    image: Float[Tensor, "B H W"], probe: Probe, grid: PixelGrid, n_iterations: int = 60
) -> tuple[Float[Tensor, "B S N"], Bool[Tensor, "S N"]]:
    """The scanlines whose scan conversion comes closest to an image: the exact inverse of `to_cartesian`.

    Where every sample is seen by several pixels, as in the far field, the scanlines that made an image come
    back to rounding; samples that no pixel sees keep the value of `to_scanlines`. Conjugate gradients on the
    normal equations. For one use of an image, not for its gradient.

    Args:
        image: pixels of a grid.
        probe: where the scanlines run.
        grid: where the pixels lie in the probe frame.
        n_iterations: at most.

    Raises:
        ValueError: when the image does not have the shape of the grid.
    """
    start, inside = to_scanlines(image.detach(), probe, grid)
    mask = field_of_view(probe, grid).to(image)

    def adjoint(pixels: Tensor) -> Tensor:
        with torch.enable_grad():
            blank = torch.zeros_like(start).requires_grad_()
            return torch.autograd.grad(to_cartesian(blank, probe, grid), blank, pixels)[0]

    seen = adjoint(mask.expand_as(image).contiguous()) > 0
    found = _least_squares(
        lambda lines: to_cartesian(lines, probe, grid), adjoint, start, image * mask, n_iterations
    )
    return found.detach(), inside & seen[0]


def _least_squares(
    forward: Callable[[Tensor], Tensor],
    adjoint: Callable[[Tensor], Tensor],
    start: Tensor,
    target: Tensor,
    n_iterations: int,
) -> Tensor:
    """Conjugate gradients for the least squares of ``forward(x) - target``, each image on its own."""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).flatten(1).sum(dim=1)[:, None, None]

    found = start
    left = target - forward(found)
    slope = adjoint(left)
    direction, size = slope, dot(slope, slope)
    least = torch.finfo(start.dtype).eps ** 2 * size
    for _ in range(n_iterations):
        changed = forward(direction)
        step = size / dot(changed, changed).clamp_min(torch.finfo(start.dtype).tiny)
        found, left = found + step * direction, left - step * changed
        slope = adjoint(left)
        previous, size = size, dot(slope, slope)
        if bool((size <= least).all()):
            break
        direction = slope + size / previous.clamp_min(torch.finfo(start.dtype).tiny) * direction
    return found


def _require_grid(image: Tensor, grid: PixelGrid) -> None:
    expected = f"(B, {grid.shape[0]}, {grid.shape[1]}), that of the grid"
    require_shape("image", image.shape, expected, image.ndim == 3 and tuple(image.shape[1:]) == grid.shape)


def field_of_view(probe: Probe, grid: PixelGrid) -> Bool[Tensor, "H W"]:
    """Which pixels lie in the field of view."""
    return probe.field_of_view_mask(*grid.centres_mm())


def sample_scanlines(
    image: Float[Tensor, "B S N"],
    line: Float[Tensor, "*points"],
    sample: Float[Tensor, "*points"],
    wraps: bool,
) -> Float[Tensor, "B *points"]:
    """Bilinear interpolation at fractional scanline and sample; outside, the nearest value of the border.

    Args:
        image: values on scanlines.
        line: fractional scanline.
        sample: fractional depth sample.
        wraps: whether the last scanline is a neighbour of the first.
    """
    lines, samples = image.shape[1:]
    if not wraps:
        line = line.clamp(0, lines - 1)
    sample = sample.clamp(0, samples - 1)
    low_line, low_sample = line.detach().floor(), sample.detach().floor()
    line_weight, sample_weight = line - low_line, sample - low_sample
    line_0, sample_0 = low_line.long(), low_sample.long()
    if wraps:
        line_0, line_1 = line_0 % lines, (line_0 + 1) % lines
    else:
        line_1 = (line_0 + 1).clamp(max=lines - 1)
    sample_1 = (sample_0 + 1).clamp(max=samples - 1)
    flat = image.flatten(1)
    first, second = line_0 * samples, line_1 * samples
    near = torch.lerp(flat[:, first + sample_0], flat[:, first + sample_1], sample_weight)
    far = torch.lerp(flat[:, second + sample_0], flat[:, second + sample_1], sample_weight)
    return torch.lerp(near, far, line_weight)
