"""The tissue table: what each tissue is to a wave, with a source on every row.

Density and speed of sound are those of the IT'IS database; impedance is their product. Attenuation is per MHz
(linear in frequency) at imaging frequencies. Backscatter has no such table: no measured coefficients of brain
were found. The values here are therefore **calibration parameters**, set by the grey levels of real
intra-operative frames (docs/concepts/against-real.md): CSF black, brain dark and calm, sulci, dura and bone
bright. Grey and white matter scatter nearly alike: on a real pair (RESECT Case 24) more contrast between
them made rendered and real frames less alike, whichever of the two was the brighter.

Backscatter is the amplitude of the expected speckle envelope of a uniform medium, in units of the echo of a
perfect plane reflector (0.0035 is -49 dB), before attenuation and gain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from diffus.checks import require_one_of

ITIS = "density and speed: IT'IS tissue properties database v4.1 (Hasgall et al. 2022)"
LABUDA = "attenuation: Labuda et al. 2022, 3.5-10 MHz"
ITRUSST = "attenuation: ITRUSST benchmark values (Aubry et al. 2022)"
ITIS_ATTENUATION = "attenuation: IT'IS database"
CALIBRATION = "backscatter: calibration parameter"


@dataclass(frozen=True)
class Tissue:
    """Acoustic values of one tissue.

    Args:
        name: key of the table.
        density_kg_m3: mass density.
        speed_m_s: speed of sound.
        attenuation_db_per_cm_mhz: amplitude attenuation, one way.
        backscatter: relative amplitude, see the module's text.
        source: where the values come from.
    """

    name: str
    density_kg_m3: float
    speed_m_s: float
    attenuation_db_per_cm_mhz: float
    backscatter: float
    source: str

    @property
    def impedance_mrayl(self) -> float:
        """Density times speed of sound."""
        return self.density_kg_m3 * self.speed_m_s * 1e-6

    @property
    def acoustic(self) -> tuple[float, float, float]:
        """Impedance (MRayl), attenuation (dB/cm/MHz) and backscatter, the order of a medium's channels."""
        return self.impedance_mrayl, self.attenuation_db_per_cm_mhz, self.backscatter


def _row(name: str, *values: float, source: str) -> Tissue:
    return Tissue(name, *values, source=f"{ITIS}; {source}; {CALIBRATION}")


_ROWS = (
    _row("grey_matter", 1045, 1500, 0.67, 0.0025, source=LABUDA),
    _row("white_matter", 1041, 1552.5, 1.21, 0.0030, source=LABUDA),
    _row("brain", 1046, 1546.3, 0.59, 0.0028, source=ITRUSST + ", given there as f^1.2"),
    _row("csf", 1007, 1504.5, 0.009, 0.00003, source=ITIS_ATTENUATION),
    _row("blood", 1050, 1578.2, 0.199, 0.0003, source=ITIS_ATTENUATION),
    _row("dura", 1174, 1500, 1.164, 0.02, source=ITIS_ATTENUATION),
    _row("cortical_bone", 1908, 2813.7, 4.74, 0.060, source=ITIS_ATTENUATION),
    _row("cancellous_bone", 1178, 2117.5, 3.55, 0.050, source=ITIS_ATTENUATION),
    _row("skin", 1109, 1624, 1.838, 0.012, source=ITIS_ATTENUATION),
    _row("fat", 911, 1440.2, 0.357, 0.003, source=ITIS_ATTENUATION),
    _row("muscle", 1090, 1588.4, 0.583, 0.004, source=ITIS_ATTENUATION),
    _row("liver", 1079, 1585.7, 0.601, 0.0045, source=ITIS_ATTENUATION),
    _row("kidney", 1066, 1554.3, 0.240, 0.003, source=ITIS_ATTENUATION),
    _row("lung", 394, 949.3, 20.1, 0.060, source=ITIS_ATTENUATION + ", inflated lung"),
    _row("water", 994, 1482.3, 0.0022, 0.00002, source=ITIS_ATTENUATION + ", at 1 MHz; it grows as f^2"),
    # Classical absorption of air, 1.6 dB/cm at 1 MHz growing as f^2 (ISO 9613-1), at 5 MHz and per MHz.
    _row("air", 1.2, 343, 8.0, 0.0, source="attenuation: ISO 9613-1 classical absorption, at 5 MHz"),
    # Tissue that takes up contrast or is bright on FLAIR: acoustically like brain, but more echogenic.
    _row("enhancing", 1046, 1546.3, 0.59, 0.01, source=ITRUSST + ", mean brain"),
    _row("lesion", 1046, 1546.3, 0.59, 0.0065, source=ITRUSST + ", mean brain"),
)

TISSUES: dict[str, Tissue] = {row.name: row for row in _ROWS}
"""The table by name."""

SULCUS_BACKSCATTER = 0.03
"""Backscatter of a voxel half CSF, half grey matter: the pia-arachnoid and vessels of a sulcus.

A sulcus is narrower than an MRI voxel; the product of both fractions stands for it. A calibration parameter.
"""


def tissue(name: str) -> Tissue:
    """One row of the table.

    Raises:
        ValueError: for an unknown tissue, listing the known.
    """
    require_one_of("tissue", name, TISSUES)
    return TISSUES[name]


def acoustic_rows(names: Iterable[str]) -> list[tuple[float, float, float]]:
    """Impedance, attenuation and backscatter of several tissues."""
    return [tissue(name).acoustic for name in names]
