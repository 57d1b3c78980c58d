"""SeenTissue: what a voxel model says of the tissue that frames show, and how its weights move that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.learning.bounds import HIGHEST, LOWEST
from diffus.learning.case import TrainingCase
from diffus.learning.information import LEVEL_UNITS, MIDDLE_IMPEDANCE
from diffus.learning.voxel_model import VoxelModel
from diffus.registration.virtual_sweep import frame_points

CHANNELS: tuple[str, ...] = ("impedance", "attenuation", "backscatter")
_ENDS = 0.005
"""Share of the samples at each end of the intensities in which a curve is not judged."""
_NEAR = 0.25
"""Width, in steps between knots, over which values of an intensity are averaged."""
_ENOUGH = 50_000
_LEAST_SPAN = 1e-3
"""Of the logarithm of impedance, so that a curve without steps has a unit: a reflection of -66 dB."""


class Row(NamedTuple):
    """One channel at one intensity.

    Args:
        log_value: logarithm of the value.
        slopes: its derivatives to the weights, then to the levels (`diffus.learning.information`).
    """

    log_value: Float64[Tensor, ""]
    slopes: Float64[Tensor, " P"]


class Curve(NamedTuple):
    """One channel over the intensity of one contrast.

    Args:
        intensity: of the points at which it is looked at.
        value: of the channel there.
        slopes: derivatives to the weights in percent: of the value, and for impedance of the largest
            difference of its logarithm along the curve.
        percent: in one unit of the channel's logarithm.
    """

    intensity: Float64[Tensor, " n"]
    value: Float64[Tensor, " n"]
    slopes: Float64[Tensor, "n P"]
    percent: float


class _Samples(NamedTuple):
    """Samples of frames in tissue of which one contrast is known."""

    intensity: Float64[Tensor, " n"]
    log_values: Float64[Tensor, "n 3"]
    slopes: Float64[Tensor, "n 3"]


@dataclass(frozen=True, eq=False)
class SeenTissue:
    """Samples of frames by contrast, with the channels of a model there.

    Args:
        model: whose curves are meant.
        samples: by contrast; only of those that some case has.
    """

    model: VoxelModel
    samples: dict[str, _Samples]

    @classmethod
    def of(cls, model: VoxelModel, cases: Sequence[TrainingCase]) -> SeenTissue:
        """Look at the voxel next to each sample that counts.

        Raises:
            ValueError: when no sample that counts lies in the brain.
        """
        by_contrast: dict[str, list[_Samples]] = {}
        for case in cases:
            for name, samples in _of_case(model, case).items():
                by_contrast.setdefault(name, []).append(samples)
        joined = {
            name: _Samples(*(torch.cat(parts) for parts in zip(*by_contrast[name], strict=True)))
            for name in model.contrasts
            if name in by_contrast
        }
        if not any(len(samples.intensity) for samples in joined.values()):
            raise ValueError(
                f"no sample of {', '.join(case.name for case in cases)} that counts lies in the brain of "
                "the MRI: check the transform between them, and the frames' weights"
            )
        return cls(model, joined)

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Those that some case has."""
        return tuple(self.samples)

    def points(self, contrast: str) -> Float64[Tensor, " n"]:
        """Intensities of the knots, those at the ends brought within what the frames show."""
        ends = torch.tensor([_ENDS, 1 - _ENDS], dtype=torch.float64)
        low, high = self.samples[contrast].intensity.quantile(ends)
        knots = torch.linspace(0, self.model.highest, self.model.n_knots, dtype=torch.float64)
        return knots.clamp(low, high).unique()

    def require_seen(self, contrast: str, *intensities: float) -> None:
        """Refuse intensities that the frames do not show.

        Raises:
            ValueError: for the first such, saying which they do show.
        """
        low, high = (float(end) for end in self.samples[contrast].intensity.aminmax())
        for at in intensities:
            if not low <= at <= high:
                raise ValueError(
                    f"frames show {contrast} intensities from {low:.2f} to {high:.2f}, got {at:g}: ask within"
                )

    def curve(self, contrast: str, channel: str) -> Curve:
        """A channel at the points of a contrast."""
        at = self.points(contrast)
        rows = [self.row(contrast, channel, float(intensity)) for intensity in at]
        log_value = torch.stack([row.log_value for row in rows])
        span = float(log_value.max() - log_value.min()) if channel == "impedance" else 1.0
        percent = 100 / max(span, _LEAST_SPAN)
        return Curve(at, log_value.exp(), percent * torch.stack([row.slopes for row in rows]), percent)

    def row(self, contrast: str, channel: str, at: float | Tensor) -> Row:
        """A channel where a contrast has an intensity, averaged over what else differs there."""
        samples, number = self.samples[contrast], CHANNELS.index(channel)
        width = _NEAR * self.model.highest / (self.model.n_knots - 1)
        near = torch.softmax(-(((samples.intensity - at) / width) ** 2) / 2, dim=0)
        basis = self.model.basis(torch.as_tensor(at, dtype=torch.float64))
        along_curve = (near @ samples.slopes[:, number]) * basis
        levels = near @ _of_levels(samples, number)
        return Row(
            near @ samples.log_values[:, number], self._curve_row(contrast, number, along_curve, levels)
        )

    def level_rows(self) -> Float64[Tensor, "rows P"]:
        """Relative derivatives of the mean of each channel over what frames show, by the first contrast.

        The mean is of the values, not their logarithms: fluid that hardly scatters and is hardly seen does
        not count. Then those of the curves of each further contrast: what one adds another can take away.
        """
        rows = []
        for contrast, samples in self.samples.items():
            basis = self.model.basis(samples.intensity)
            for number in range(len(CHANNELS)):
                value = samples.log_values[:, number].exp()
                weight = value / value.sum()
                along_curve = (weight * samples.slopes[:, number]) @ basis
                first = contrast == self.contrasts[0]
                levels = weight @ _of_levels(samples, number) * first
                rows.append(self._curve_row(contrast, number, along_curve, levels))
        return torch.stack(rows)

    def boundary_row(self, contrast: str) -> Float64[Tensor, " P"]:
        """Derivatives of the logarithm of how strongly a contrast's boundaries scatter."""
        number = self.model.contrasts.index(contrast)
        slope = torch.zeros_like(self.model.edge, dtype=torch.float64)
        slope[number] = 1 - torch.sigmoid(self.model.edge.detach().double()[number])
        gain = torch.tensor([0, 0, LEVEL_UNITS[2]], dtype=torch.float64)
        return self._flat({"edge": slope}, gain)

    def _curve_row(
        self,
        contrast: str,
        channel: int,
        along_curve: Float64[Tensor, " knots"],
        levels: Float64[Tensor, "3"],
    ) -> Float64[Tensor, " P"]:
        curves = torch.zeros_like(self.model.curves, dtype=torch.float64)
        curves[self.model.contrasts.index(contrast), :, channel] = along_curve
        return self._flat({"curves": curves}, levels)

    def _flat(self, given: dict[str, Tensor], levels: Float64[Tensor, "3"]) -> Float64[Tensor, " P"]:
        """Numbers for some weights, zero for the others, in the order of the model's parameters; levels."""
        parts = [
            given[name] if name in given else torch.zeros_like(weights, dtype=torch.float64)
            for name, weights in self.model.named_parameters()
        ]
        return torch.cat([*(part.flatten() for part in parts), levels])


def _of_levels(samples: _Samples, channel: int) -> Float64[Tensor, "n 3"]:
    """How the logarithm of a channel changes with each level (`diffus.learning.information.Levelled`)."""
    change = torch.zeros(len(samples.intensity), len(LEVEL_UNITS), dtype=torch.float64)
    log_value = samples.log_values[:, channel]
    if channel == 1:
        change[:, 1] = torch.exp(-log_value) * LEVEL_UNITS[1]
        return change
    change[:, channel] = LEVEL_UNITS[channel]
    if channel == 0:
        change[:, 2] = (log_value - math.log(MIDDLE_IMPEDANCE)) * LEVEL_UNITS[2]
    return change


@torch.no_grad()
def _of_case(model: VoxelModel, case: TrainingCase) -> dict[str, _Samples]:
    sweep, mri = case.frames.sweep, case.mri
    points = frame_points(sweep.probe, case.poses)[sweep.weights > 0]
    affine = torch.linalg.inv(mri.world_from_voxel)
    voxel = (points @ affine[:3, :3].T + affine[:3, 3]).round().long()
    size = torch.tensor(mri.shape)
    voxel = voxel[((voxel >= 0) & (voxel < size)).all(dim=1)]
    number = (voxel[:, 0] * size[1] + voxel[:, 1]) * size[2] + voxel[:, 2]
    number = number[mri.inside.flatten()[number]]
    number = number[:: max(1, len(number) // _ENOUGH)]
    seen = mri.voxels(number)
    log_values = torch.log(model(seen).double()).reshape(-1, 3)
    lowest, highest = (torch.tensor(ends, dtype=torch.float64).log() for ends in (LOWEST, HIGHEST))
    share = (log_values - lowest) / (highest - lowest)
    # Of lowest (highest / lowest)^sigmoid(x), see `bounds`.
    slopes = (highest - lowest) * share * (1 - share)
    known = {name: seen.of(name) for name in model.contrasts}
    return {
        name: _Samples(image.double().flatten(), log_values, slopes)
        for name, image in known.items()
        if image is not None
    }
