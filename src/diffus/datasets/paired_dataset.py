"""A dataset of paired cases that reads each case when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from jaxtyping import Float64
from torch import Tensor

from diffus.checks import require_one_of
from diffus.datasets.case_files import CaseFiles
from diffus.datasets.landmarks import Landmarks
from diffus.datasets.pair import Pair
from diffus.volume import Volume


class PairedDataset:
    """Cases by number or name, read from disk when they are asked for.

    The case that was read last is kept; the others only with a cache.

    Args:
        cases: the files of each.
        cache: keep everything that was read in memory. A pair of 256^3 volumes takes 128 MB.

    Raises:
        ValueError: for two cases of one name.
    """

    def __init__(self, cases: Sequence[CaseFiles], cache: bool = False) -> None:
        self.cases = tuple(cases)
        self.cache = cache
        self._number = {case.case: number for number, case in enumerate(self.cases)}
        if len(self._number) < len(self.cases):
            names = [case.case for case in self.cases]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"cases must have different names; given twice: {', '.join(twice)}")
        self._kept: dict[int, Pair] = {}

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, which: int | str) -> Pair:
        """Read a case; raises as `CaseFiles.load`."""
        if isinstance(which, str):
            require_one_of("case", which, self._number)
            which = self._number[which]
        if not -len(self) <= which < len(self):
            raise IndexError(f"case {which} of {len(self)}")
        number = which % len(self)
        if number not in self._kept:
            pair = self.cases[number].load()
            if not self.cache:
                self._kept.clear()
            self._kept[number] = pair
        return self._kept[number]

    def __iter__(self) -> Iterator[Pair]:
        return (self[number] for number in range(len(self)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cases, in their order."""
        return tuple(case.case for case in self.cases)

    def where(self, wanted: Callable[[CaseFiles], bool]) -> PairedDataset:
        """The cases whose files answer to something, as ``lambda case: "t2" in case.contrasts``."""
        return PairedDataset([case for case in self.cases if wanted(case)], self.cache)

    def deferred(self) -> list[DeferredPair]:
        """The cases as pairs that are not read before one of their images is asked for.

        For work on many cases, some of which may be broken: what is wrong with one is raised when it is
        looked at.
        """
        return [DeferredPair(self, name) for name in self.names]


class DeferredPair:
    """A `Pair` that is read when it is looked at; each property raises as `CaseFiles.load`.

    Args:
        dataset: that the case belongs to, which keeps what was read last.
        case: name of the case.
    """

    def __init__(self, dataset: PairedDataset, case: str) -> None:
        self._dataset = dataset
        self.case = case

    @property
    def ultrasound(self) -> Volume:
        """The swept volume."""
        return self._dataset[self.case].ultrasound

    @property
    def contrasts(self) -> Mapping[str, Volume]:
        """MRI by contrast."""
        return self._dataset[self.case].contrasts

    @property
    def mask(self) -> Volume | None:
        """Of the brain."""
        return self._dataset[self.case].mask

    @property
    def mri_from_ultrasound(self) -> Float64[Tensor, "4 4"] | None:
        """Rigid transform."""
        return self._dataset[self.case].mri_from_ultrasound

    @property
    def landmarks(self) -> Landmarks | None:
        """In both images."""
        return self._dataset[self.case].landmarks
