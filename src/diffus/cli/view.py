"""``diffus view``: a probe moved by hand in the browser, the picture following."""

from __future__ import annotations

import logging
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console

from diffus.cli.render import Render

if TYPE_CHECKING:
    from diffus.cli.media import Tissue
    from diffus.viewer import RealUltrasound, ViewerScene
    from diffus.volume import Volume

EXAMPLE = "example"
"""Names the embedded brain in place of a file."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class View(Render):
    """Look at a volume with a probe in your hand, in a browser on this machine.

    Prints an address. The page behind it shows the volume in slices and in 3D with the fan on it, and the
    B-mode, which follows the probe. With --ultrasound a real image lies beside, and the probe can be
    registered to it from where it stands. Nobody but this machine can open the page, and nobody without the
    address. Ctrl-C ends it.

    Example: diffus view head_t1.nii.gz --contrast t1 --ultrasound frame.npz --out out/head

    Example without a file of your own: diffus view example

    Args:
        volume: NIfTI, NRRD, MHA/MHD, or a folder with one DICOM series; or the word example for the embedded
            brain.
        spacing_mm: side of a pixel of a real picture that does not say it.
        ultrasound: a real image: a frame (.npz as `diffus render` writes it, PNG, JPEG, DICOM, or one slice
            in its place), or a swept volume in the world of the MRI. Unless told otherwise the probe is the
            one that made it, and stands where it was made.
        frequency_mhz: centre frequency of a probe that is found in the real image.
        host: a name of this machine's loopback address: 127.0.0.1, localhost or ::1.
        port: to listen at; 0 takes any that is free.
        open: open the browser too.
        out: folder for the poses, frames and screenshots that are saved.
    """

    volume: tyro.conf.Positional[Path]
    spacing_mm: float | None = None
    ultrasound: Path | None = None
    frequency_mhz: float = 6.0
    host: str = "127.0.0.1"
    port: int = 8737
    open: bool = False
    out: Path = Path("out/view")

    def run(self) -> None:
        """Serve until interrupted."""
        from diffus.viewer.server import ViewerServer, listening, require_view_extra

        require_view_extra()
        listening(self.host, self.port).close()  # refused before minutes are spent on the volume
        with Console(stderr=True).status(f"reading {self.volume.name}"), _fitting_memory(self.volume):
            server = ViewerServer(self._scene(), self.out, host=self.host, port=self.port)
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"Viewer: {server.url}\nCtrl-C ends it.", markup=False)
        if self.open:
            webbrowser.open(server.url)
        server.run()

    def read_tissue(self) -> Tissue:
        """The embedded brain, or as other commands read it."""
        if self.volume != Path(EXAMPLE):
            return super().read_tissue()
        from diffus.cli.media import Tissue
        from diffus.datasets import example_brain
        from diffus.medium import Medium

        brain = example_brain()
        assert brain.image is not None
        return Tissue(Medium.from_tissue_maps(brain), brain.mask, brain.image)

    def _check(self) -> None:
        super()._check()
        own = {"second": self.second, "model": self.model, "labels": self.labels, "mask": self.mask}
        given = [f"--{name}" for name, value in own.items() if value is not None]
        if self.volume == Path(EXAMPLE) and given:
            raise ValueError(f"the embedded brain has its own tissue: leave {', '.join(given)} out")

    def _scene(self) -> ViewerScene:
        from diffus.viewer import ViewerScene

        self._check()
        probe = self.chosen_probe()
        real = self._real()
        if self.probe is None and real is not None and real.probe is not None:
            probe = self.changed(real.probe)
        tissue = self.read_tissue()
        placed = self.pose is not None or self.target is not None
        at = None if placed or real is None else real.world_from_probe
        return ViewerScene(
            tissue.image,
            tissue.medium,
            probe,
            self._pose(tissue.body) if at is None else at,
            self.settings,
            real,
            self.volume.name,
            self.contrast if self.model is None else f"model {self.model.name}",
        )

    def _real(self) -> RealUltrasound | None:
        """The real ultrasound, as `diffus register` reads it."""
        if self.ultrasound is None:
            return None
        from diffus.cli.register_inputs import HowMade, OneFrame, SweptVolume, in_words, read_ultrasound
        from diffus.viewer import RealFrame

        names_it = self.probe is not None and _is_picture(self.ultrasound)
        made = HowMade(
            probe=self.probe if names_it else None,
            spacing_mm=self.spacing_mm,
            frequency_mhz=self.frequency_mhz,
        )
        given = read_ultrasound((self.ultrasound,), made)
        if isinstance(given, OneFrame):
            return RealFrame(given.frame, given.mask, given.has_pose, self.ultrasound.name)
        if isinstance(given, SweptVolume):
            return self._swept(given.volume, self.ultrasound.name)
        raise ValueError(
            f"{self.ultrasound} is {in_words(given)}: the viewer shows one frame or a swept volume; give one "
            "of its frames"
        )

    def _swept(self, volume: Volume, name: str) -> RealUltrasound:
        """A swept volume, with the fan that is found in it unless a probe is named."""
        from diffus.registration import SweepGeometry
        from diffus.viewer import RealVolume

        if self.probe is not None:
            return RealVolume(volume, name)
        try:
            found = SweepGeometry.found_in(volume, self.frequency_mhz)
        except ValueError as error:
            _LOG.warning("%s: its fan was not found (%s): name the probe with --probe", name, error)
            return RealVolume(volume, name)
        return RealVolume(volume, name, found.probe, found.world_from_probe)


def _is_picture(path: Path) -> bool:
    """Whether a file holds one image that does not say which probe made it."""
    from diffus.cli.register_inputs import PICTURES, SAVED
    from diffus.io.volumes import extension_of
    from diffus.volume import Volume

    extension = extension_of(path)
    if not path.is_file() or extension == SAVED:
        return False
    return extension in PICTURES or Volume.load(path).shape[2] == 1


@contextmanager
def _fitting_memory(path: Path) -> Iterator[None]:
    """Refuse, rather than fail, when a volume is too large for this machine's memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise ValueError(f"{path} does not fit into memory: crop or resample it") from error
