"""SettingsResult: the settings that were found, and which of them the image determines."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from diffus.medium import Medium
from diffus.pose import from_matrix
from diffus.presets import probe_from_dict
from diffus.probe import Probe
from diffus.registration.acquisition.verdict import Estimate, open_combinations
from diffus.registration.archive import read_archive, write_archive
from diffus.scalars import plain
from diffus.settings import RenderSettings

FILE_FORMAT = "diffus-settings"
FILE_VERSION = 1
_NUMBERS = ("attenuation_slope", "misfit_of_levels", "misfit_of_grain", "brightness_error_db", "converged")


@dataclass(frozen=True, eq=False, kw_only=True)
class SettingsResult:
    """What `recover_settings` found. Look at `determined` before using a value.

    Args:
        probe: with the values found.
        settings: with the values found.
        attenuation_slope: factor on the medium's attenuation.
        world_from_probe: pose of each frame.
        estimates: each number that was sought.
        covariance: of their values, in their own units and order.
        misfit_of_levels: variance of brightness about the model's, by patches of 12 mm, over what speckle
            leaves; near 1 where medium and pose are right.
        misfit_of_grain: the same of the differences between neighbouring samples.
        brightness_error_db: root mean square of those patches' brightness about the model's beyond speckle.
            Standard deviations reckon with all three, and with an error as large that the whole image shares.
        converged: whether the descent came to rest; otherwise nothing counts as determined.
    """

    probe: Probe
    settings: RenderSettings
    attenuation_slope: float
    world_from_probe: Float64[Tensor, "F 4 4"]
    estimates: tuple[Estimate, ...]
    covariance: Float64[Tensor, "P P"]
    misfit_of_levels: float
    misfit_of_grain: float
    brightness_error_db: float
    converged: bool

    def __getitem__(self, name: str) -> Estimate:
        """One estimate by name.

        Raises:
            KeyError: for a name that was not sought, listing those that were.
        """
        for estimate in self.estimates:
            if estimate.name == name:
                return estimate
        raise KeyError(f"{name} was not sought; {', '.join(e.name for e in self.estimates)} were")

    @property
    def determined(self) -> tuple[str, ...]:
        """Names that the image determines."""
        return tuple(estimate.name for estimate in self.estimates if estimate.determined)

    @property
    def undetermined(self) -> tuple[str, ...]:
        """Names that it does not."""
        return tuple(estimate.name for estimate in self.estimates if not estimate.determined)

    @property
    def open_combinations(self) -> tuple[str, ...]:
        """In words, what can change together and leave the image as it is."""
        return open_combinations(self.estimates, self.covariance)

    def medium(self, medium: Medium) -> Medium:
        """The medium with the attenuation that was found."""
        if self.attenuation_slope == 1.0:
            return medium
        factor = medium.channels.new_tensor([1.0, self.attenuation_slope, 1.0])
        return Medium.from_channels(medium.channels * factor, medium.world_from_voxel)

    def summary(self) -> str:
        """A table for people, and the combinations that stay open."""
        wide = max(len(estimate.name) for estimate in self.estimates)
        lines = [f"{'':{wide}}  {'found':>9}  {'sigma':>8}  {'start':>9}"]
        for e in self.estimates:
            verdict = "determined" if e.determined else "undetermined"
            lines.append(f"{e.name:{wide}}  {e.value:9.3f}  {e.sigma:8.3f}  {e.start:9.3f}  {verdict}")
        lines += [f"open: {words}" for words in self.open_combinations]
        lines.append(
            f"misfit: levels {self.misfit_of_levels:.1f}, grain {self.misfit_of_grain:.1f}; brightness is "
            f"{self.brightness_error_db:.1f} dB off beyond speckle"
        )
        if not self.converged:
            lines.append("the descent did not come to rest: start nearer, or seek fewer settings")
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything as ``.npz``, without pickle.

        Raises:
            ValueError: for another extension or a place that cannot be written.
        """
        header: dict[str, Any] = {
            "format": FILE_FORMAT,
            "version": FILE_VERSION,
            "frame": "RAS+",
            "unit": "mm",
        }
        header |= {name: plain(getattr(self, name)) for name in _NUMBERS}
        header |= {"probe": self.probe.to_dict(), "settings": self.settings.to_dict()}
        header["estimates"] = [asdict(estimate) for estimate in self.estimates]
        tensors = {"world_from_probe": self.world_from_probe, "covariance": self.covariance}
        return write_archive(path, header, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SettingsResult:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it does not hold recovered settings, or is of a newer version.
        """
        header, tensors = read_archive(path, FILE_FORMAT, FILE_VERSION, "settings")
        try:
            from_matrix(tensors["world_from_probe"])
            return cls(
                probe=probe_from_dict(header["probe"]),
                settings=_settings_from(header["settings"]),
                world_from_probe=tensors["world_from_probe"],
                covariance=tensors["covariance"],
                estimates=tuple(Estimate(**entry) for entry in header["estimates"]),
                **{name: header[name] for name in _NUMBERS},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a settings file: {error}") from error

    def __repr__(self) -> str:
        from diffus.reprs.facts import paragraph, settings_facts

        return paragraph(self, settings_facts(self))

    def _repr_html_(self) -> str:
        from diffus.reprs.pages import settings_page

        return settings_page(self)


def _settings_from(content: dict[str, Any]) -> RenderSettings:
    """Settings from plain values, whose curves JSON made lists."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
    return RenderSettings().with_options(**values)
