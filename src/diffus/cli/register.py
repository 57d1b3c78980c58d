"""``diffus register``: where the probe was when a frame was taken, from the frame and an MRI."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from diffus.checks import require_one_of
from diffus.cli.outputs import report_outputs

if TYPE_CHECKING:
    from diffus.frame import Frame
    from diffus.medium import Medium
    from diffus.probe import Probe
    from diffus.registration import RegistrationResult

NOT_BELIEVED = 3
"""Exit status when the verdict is not ``converged``."""
CONTRASTS = ("t1", "cet1", "t2", "flair")
LARGEST_SECTOR_MM = 400.0
SMALLEST_SECTOR_MM = 10.0
"""Depth of an image that a scanner for people makes; beyond, the pixel spacing is wrong."""


@dataclass(frozen=True)
class Register:
    """Find the pose of an ultrasound frame in an MRI.

    The frame is an .npz as `diffus render` writes it, or an image of one slice in its place in the world
    (NIfTI, NRRD, MHA) with --probe, whose scanlines it shows. It is looked for around --initial, or around
    the pose that the frame carries. Exit status 3 says that the pose is not to be believed: registration.txt
    says why.

    Example: diffus register frame.npz --mri head_t1.nii.gz --initial tracked.json --out out/register

    Args:
        frame: the ultrasound.
        mri: the MRI of the same head.
        contrast: what it shows: t1, cet1, t2 or flair.
        second: another MRI of the same head on the same grid.
        second_contrast: its contrast.
        mask: mask of the brain, on the grid of the MRI, instead of the automatic one.
        probe: preset or JSON file; by default the one that the frame carries.
        initial: pose file (JSON) to look around.
        reach_mm: how far away the true pose may be.
        reach_deg: and by how much turned.
        starts: descents.
        survey: poses that are looked at coarsely to choose where descents begin.
        seed: of the search; the same seed gives the same answer.
        animation: also write the descent as an animated GIF.
        out: folder for everything that is written.
    """

    frame: tyro.conf.Positional[Path]
    mri: Path
    contrast: str = "t1"
    second: Path | None = None
    second_contrast: str | None = None
    mask: Path | None = None
    probe: str | None = None
    initial: Path | None = None
    reach_mm: float = 12.0
    reach_deg: float = 12.0
    starts: int = 32
    survey: int = 2048
    seed: int = 0
    animation: bool = False
    out: Path = Path("out/register")

    def run(self) -> int:
        """Register, write, and say by the exit status whether the pose is to be believed."""
        from rich.console import Console
        from rich.progress import Progress

        from diffus import pose
        from diffus.registration import SearchOptions, register

        require_one_of("contrast", self.contrast, CONTRASTS)
        if (self.second is None) != (self.second_contrast is None):
            raise ValueError("--second and --second-contrast belong together: give both or neither")
        options = SearchOptions(
            reach_mm=self.reach_mm,
            reach_deg=self.reach_deg,
            n_survey=self.survey,
            n_starts=self.starts,
            seed=self.seed,
        )
        frame = self._frame()
        start = frame.world_from_probe[0] if self.initial is None else pose.load(self.initial)
        earlier = self._earlier()
        medium = self._medium()
        if earlier is None:
            with Progress(transient=True, console=Console(stderr=True)) as bar:
                task = bar.add_task("survey")
                result = register(
                    frame,
                    medium,
                    initial=start,
                    options=options,
                    progress=lambda what, at, of: bar.update(task, description=what, completed=at, total=of),
                )
        else:
            result = earlier
        report_outputs(self._write(result, frame, medium))
        Console(highlight=False, soft_wrap=True).print(result.summary(), markup=False)
        return 0 if result.converged else NOT_BELIEVED

    def _write(self, result: RegistrationResult, frame: Frame, medium: Medium) -> dict[str, Path]:
        from diffus import pose
        from diffus.files import write_json, write_text
        from diffus.plot import save_figure
        from diffus.registration.pictures import save_animation, way_down

        written = {
            "everything": result.save(self.out / "registration.npz"),
            "inputs": write_json(self.out / "inputs.json", self._inputs()),
            "pose": pose.save(result.world_from_sweep, self.out / "pose.json"),
            "before and after": save_figure(result.figure(frame, medium), self.out / "before_and_after.png"),
            "descents": save_figure(way_down(result), self.out / "descents.png"),
            "what was found": write_text(self.out / "registration.txt", result.summary() + "\n"),
        }
        if self.animation:
            written["animation"] = save_animation(result, frame, medium, self.out / "descent.gif")
        return written

    def _earlier(self) -> RegistrationResult | None:
        """The result of an earlier run of the same inputs into the same folder.

        Raises:
            ValueError: when the folder holds a result of other inputs.
        """
        from diffus.files import read_json
        from diffus.registration import RegistrationResult

        told, found = self.out / "inputs.json", self.out / "registration.npz"
        if not (told.is_file() and found.is_file()):
            return None
        before, now = read_json(told, "inputs"), self._inputs()
        changed = [name for name in now if before.get(name) != now[name]]
        if changed:
            raise ValueError(
                f"{self.out} holds a registration of other inputs ({', '.join(changed)} differ): "
                "give another --out, or remove the folder"
            )
        return RegistrationResult.load(found)

    def _inputs(self) -> dict[str, object]:
        """What the answer depends on: options, and the content of every file."""
        files = ("frame", "mri", "second", "mask", "initial")
        words = ("contrast", "second_contrast", "probe", "reach_mm", "reach_deg", "starts", "survey", "seed")
        said: dict[str, object] = {name: getattr(self, name) for name in words}
        for name in files:
            path: Path | None = getattr(self, name)
            is_file = path is not None and path.is_file()
            said[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path and is_file else str(path)
        return said

    def _frame(self) -> Frame:
        from diffus.frame import Frame
        from diffus.presets import load_probe

        if self.frame.suffix == ".npz":
            frame = Frame.load(self.frame)
            if self.probe is not None:
                raise ValueError("--probe does not go with an .npz frame, which carries its own")
            return frame
        if self.probe is None:
            raise ValueError(f"{self.frame.name} does not say which probe made it: give --probe")
        return frame_of_slab(self.frame, load_probe(self.probe))

    def _medium(self) -> Medium:
        from diffus.medium import Medium
        from diffus.segmentation import brain_mask
        from diffus.volume import Volume

        image = Volume.load(self.mri)
        volumes = {self.contrast: image}
        if self.second is not None and self.second_contrast is not None:
            volumes[self.second_contrast] = Volume.load(self.second)
        mask = brain_mask(image, self.contrast) if self.mask is None else Volume.load(self.mask)
        return Medium.from_mri(volumes, mask=mask)


def frame_of_slab(path: Path, probe: Probe) -> Frame:
    """An image of one slice as a frame: its columns along x, its rows down z, in its place in the world.

    The face's middle is where `Frame.save` puts it: the image is centred on the probe's field of view.

    Raises:
        ValueError: when the file holds more than a slice, or an image too small or too large for a probe.
    """
    import torch

    from diffus import pose
    from diffus.frame import Frame
    from diffus.imaging.gain import expand
    from diffus.imaging.scan_conversion import PixelGrid, to_scanlines
    from diffus.settings import RenderSettings
    from diffus.volume import Volume

    slab = Volume.load(path)
    columns, rows, slices = slab.shape
    if slices != 1:
        raise ValueError(
            f"{path.name} holds {slices} slices, expected one, of columns, rows and a single slice"
        )
    deep = rows * slab.spacing_mm[1]
    if not SMALLEST_SECTOR_MM <= deep <= LARGEST_SECTOR_MM:
        raise ValueError(
            f"{path.name} is {deep:.3g} mm deep, expected {SMALLEST_SECTOR_MM:g} to {LARGEST_SECTOR_MM:g}: "
            "its pixel spacing is wrong"
        )
    across, down, _ = slab.spacing_mm
    if abs(across - down) > 1e-3 * down:
        raise ValueError(f"{path.name}: expected square pixels, got {across:g} x {down:g} mm: resample it")
    left, right, top, bottom = probe.plane_bounds_mm()
    for name, given, expected in (("wide", columns * across, right - left), ("deep", deep, bottom - top)):
        if abs(given - expected) > 0.1 * expected:
            raise ValueError(
                f"{path.name} is {given:.1f} mm {name}, the field of view of the probe {expected:.1f} mm: "
                "check the pixel spacing, crop the image to its sector, or give the probe that made it"
            )
    x = (left + right) / 2 - (columns - 1) / 2 * down
    z = (top + bottom) / 2 - (rows - 1) / 2 * down
    grid = PixelGrid(x, z, down, (rows, columns))
    affine = slab.world_from_voxel @ torch.linalg.inv(grid.probe_from_pixel(slab.spacing_mm[2]))
    image = slab.data[..., 0].T.float()[None]
    if float(image.max()) > 1:
        image = image / 255.0 if float(image.max()) <= 255 else image / image.max()
    lines, _ = to_scanlines(image.contiguous(), probe, grid)
    settings = RenderSettings()
    return Frame(lines, expand(lines, probe, settings), probe, pose.from_matrix(affine)[None], settings)
