"""The image of a point by a linear array: a direct sum over elements and frequencies; NumPy only.

Nothing here is Gaussian but the spectrum, and nothing paraxial: each element is a point that sends a
spherical wave, in the open (no baffle, no directivity); channels are delayed and added. The aperture is
filled with elements a third of a wavelength apart, so that it acts as one piece. Textbook beamforming: Szabo,
Diagnostic Ultrasound Imaging, 2nd ed., 2014, ch. 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tests.oracles.point_target import full_width

from diffus import LinearProbe

Reals = NDArray[np.float64]
_ELEMENTS_A_WAVELENGTH = 3
_DEPTHS_A_WAVELENGTH = 5
_WINDOWS = {"rectangular": (1.0, 0.0), "hamming": (0.54, 0.46), "hann": (0.5, 0.5)}
"""The window is p + q cos(2 pi u), u from -1/2 to 1/2 over the aperture."""


@dataclass(frozen=True)
class LinearArray:
    """One scanline of an array whose elements lie along x at z = 0, the aperture's middle at the origin.

    Args:
        frequency_mhz: centre of the Gaussian two-way spectrum.
        bandwidth: its full width at half amplitude over the centre.
        aperture_mm: width of the aperture on the face.
        focus_mm: distance of the transmit focus along the scanline.
        dynamic_receive: receive delays follow the depth, and the aperture opens with it up to the focus.
        window: over both apertures.
        steering_deg: of the scanline from the normal, towards +x.
        speed_mm_us: of sound.
    """

    frequency_mhz: float
    bandwidth: float
    aperture_mm: float
    focus_mm: float
    dynamic_receive: bool = True
    window: str = "rectangular"
    steering_deg: float = 0.0
    speed_mm_us: float = 1.54

    @classmethod
    def of(cls, probe: LinearProbe) -> LinearArray:
        """The array that a probe stands for."""
        return cls(
            float(probe.frequency_mhz),
            float(probe.fractional_bandwidth),
            float(probe.aperture_mm),
            float(probe.focus_mm),
            probe.dynamic_receive,
            probe.apodization,
            float(probe.steering_deg),
            float(probe.speed_of_sound_m_s) / 1e3,
        )

    @property
    def wavelength_mm(self) -> float:
        """At the centre frequency."""
        return self.speed_mm_us / self.frequency_mhz

    @property
    def direction(self) -> Reals:
        """Of the scanline: x and z."""
        angle = np.deg2rad(self.steering_deg)
        return np.array([np.sin(angle), np.cos(angle)])

    def image(self, target_mm: float, offsets_mm: Reals, depths_mm: Reals) -> NDArray[np.complex128]:
        """Beamformed and demodulated echo, (offsets, depths), of a point on the scanline of offset 0.

        Args:
            target_mm: its depth along that scanline.
            offsets_mm: how far along the face the apertures of the other scanlines lie.
            depths_mm: along the scanlines, growing; every element's echo must arrive within them, since a sum
                over frequencies repeats itself.
        """
        x, z = target_mm * self.direction
        places = np.stack([x - offsets_mm, np.full_like(offsets_mm, z)], axis=-1)
        frequencies, spectrum = self._spectrum(1.2 * (depths_mm[-1] - depths_mm[0]))
        wave_numbers = 2 * np.pi * frequencies[:, None, None] / self.speed_mm_us
        sent = self._beam(places, np.array([self.focus_mm]), self.aperture_mm, wave_numbers)
        heard = sent
        if self.dynamic_receive:
            opened = self.aperture_mm * min(1.0, target_mm / self.focus_mm)
            heard = self._beam(places, depths_mm, opened, wave_numbers)
        arrived = np.exp(2j * wave_numbers * depths_mm)
        return (spectrum[:, None, None] * sent * heard * arrived).sum(axis=0)

    def lateral_profile(self, target_mm: float, half_mm: float, n_offsets: int = 61) -> tuple[Reals, Reals]:
        """Distances across the scanline out to ``half_mm``, and a point's image at its brightest depth."""
        across = np.linspace(-half_mm, half_mm, n_offsets)
        sine, cosine = self.direction
        curved = self.aperture_mm**2 / 8 * abs(1 / target_mm - 1 / self.focus_mm)
        slanted = half_mm * (abs(sine) / cosine + self.aperture_mm / (2 * target_mm))
        reach = 4 * self.wavelength_mm + curved + slanted
        n_depths = int(np.ceil(2 * reach / self.wavelength_mm * _DEPTHS_A_WAVELENGTH))
        depths = target_mm + np.linspace(-reach, reach, n_depths)
        return across, np.abs(self.image(target_mm, across / cosine, depths)).max(axis=1)

    def lateral_width_mm(self, target_mm: float, guess_mm: float) -> float:
        """-6 dB width of a point's image across the scanline.

        Args:
            target_mm: depth of the point along the scanline.
            guess_mm: a width of the right order; it does not enter the result.
        """
        half = guess_mm
        while True:
            across, profile = self.lateral_profile(target_mm, half)
            if max(profile[0], profile[-1]) < 0.4 * profile.max():
                return full_width(across, profile)
            half *= 1.4

    def _beam(
        self, places: Reals, focus_mm: Reals, aperture_mm: float, wave_numbers: Reals
    ) -> NDArray[np.complex128]:
        """One way, (frequencies, places, foci): the elements' waves, delayed to agree at the focus.

        Time is counted from that at which a wave leaves the middle of the aperture.
        """
        n_elements = int(np.ceil(aperture_mm / self.wavelength_mm * _ELEMENTS_A_WAVELENGTH))
        share = (np.arange(n_elements) + 0.5) / n_elements - 0.5
        constant, cosine = _WINDOWS[self.window]
        weight = (constant + cosine * np.cos(2 * np.pi * share)) / n_elements
        elements = np.stack([share * aperture_mm, np.zeros(n_elements)], axis=-1)
        way = np.linalg.norm(places[:, None] - elements, axis=-1)
        foci = focus_mm[:, None] * self.direction
        lead = np.linalg.norm(elements[:, None] - foci, axis=-1) - focus_mm
        return (weight / way * np.exp(-1j * wave_numbers * way)) @ np.exp(1j * wave_numbers * lead)

    def _spectrum(self, span_mm: float) -> tuple[Reals, Reals]:
        """Frequencies so close that an echo repeats itself only after a span of depth, and the spectrum.

        They go out to where the two-way spectrum has fallen by 38 dB.
        """
        reach = min(1.25 * self.bandwidth, 0.95)
        step = self.wavelength_mm / (2 * span_mm)
        relative = np.linspace(-reach, reach, int(np.ceil(2 * reach / step)) + 1)
        return self.frequency_mhz * (1 + relative), np.exp(-4 * np.log(2) * (relative / self.bandwidth) ** 2)
