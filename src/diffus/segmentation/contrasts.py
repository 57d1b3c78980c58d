"""What the tissues of a brain look like under each MRI contrast.

The order of mean intensities follows from relaxation times (at 3 T, Stanisz et al., Magn Reson Med 54,
2005: T1 of white matter about 1.1 s, of grey 1.8 s, of CSF over 4 s; T2 about 70, 100 and over 1500 ms): T1
    weighting makes short
T1 bright, T2 weighting makes long T2 bright, and FLAIR is T2 weighting with CSF nulled by inversion
recovery (Hajnal et al., J Comput Assist Tomogr 16, 1992). Gadolinium shortens T1 where the blood-brain
barrier is open and in vessels, dura and choroid plexus, which then lie above white matter.
"""

from __future__ import annotations

from dataclasses import dataclass

from diffus.checks import require_one_of

BASE_CLASSES = ("csf", "grey_matter", "white_matter")
"""Classes that every contrast shows; names are rows of `diffus.tissues.TISSUES`."""


@dataclass(frozen=True)
class Contrast:
    """Tissue intensities under one contrast.

    Args:
        name: key of the table.
        rising: the base classes in the order of their mean intensity, darkest first.
        levels: usual mean of each class in the same order, between 0 (no signal) and 1 (the 98th percentile
            of the brain); where the fit starts, so only the rough place counts. Read off the volumes that the
            tests use, and off the order above.
        above: the class of what is clearly brighter than all base classes, or None.
    """

    name: str
    rising: tuple[str, ...]
    levels: tuple[float, ...]
    above: str | None = None

    def level(self, tissue: str) -> float:
        """The usual mean of a base class."""
        return self.levels[self.rising.index(tissue)]


CONTRASTS: dict[str, Contrast] = {
    row.name: row
    for row in (
        Contrast("t1", ("csf", "grey_matter", "white_matter"), (0.2, 0.6, 0.9)),
        Contrast("cet1", ("csf", "grey_matter", "white_matter"), (0.3, 0.65, 0.8), "enhancing"),
        Contrast("t2", ("white_matter", "grey_matter", "csf"), (0.35, 0.5, 0.95)),
        # Grey matter has more water and a longer T2 than white: on FLAIR it is equal or a little brighter.
        Contrast("flair", ("csf", "white_matter", "grey_matter"), (0.2, 0.65, 0.8), "lesion"),
    )
}
"""The table by name. Contrast-enhanced T1 must be named ``cet1``, or its vessels pass for white matter."""


def contrast_named(name: str) -> Contrast:
    """One row of the table.

    Raises:
        ValueError: for an unknown contrast, listing the known.
    """
    require_one_of("contrast", name, CONTRASTS)
    return CONTRASTS[name]
