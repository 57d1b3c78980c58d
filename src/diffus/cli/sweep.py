"""``diffus sweep``: a trajectory of the probe rendered to frames, an animation and a tracked sequence."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from diffus.checks import require_one_of, require_positive
from diffus.cli.outputs import report_outputs
from diffus.cli.rendering import Rendering
from diffus.cli.sweep_folder import GIF, INPUTS, MP4, SEQUENCE, SUMMARY, SweepFolder

if TYPE_CHECKING:
    from jaxtyping import Float64
    from torch import Tensor

    from diffus.cli.media import Tissue
    from diffus.frame import Frame
    from diffus.probe import Probe

FAN_DEG = 40.0
"""The fan where no motion was named."""
_MOTIONS = ("fan", "rock", "turn", "slide", "to", "poses")
_MP4 = ("auto", "yes", "no")
_PRINTED = 6
_NAME_FILES = ("volume", "second", "model", "labels", "table", "mask", "start", "via", "to", "poses")
_NO_MATTER = ("settings", "probe", "probe_with", "nifti", "mp4", "resume", "overwrite", "out")
"""Options that are told otherwise, or change nothing of a frame."""


@dataclass(frozen=True)
class Sweep(Rendering):
    """Move the probe along a trajectory and render every frame: frames, a tracked sequence and an animation.

    One motion is named: --to (and --via) for a way from one pose to another, the face straight and the turn
    about one axis; --fan, --rock, --turn or --slide for a motion about the first pose, which is then in the
    middle; or --poses. `diffus register` reads the folder of frames and the sequence; 3D Slicer (extension
    SlicerIGSIO) opens the sequence. A run that was cut goes on with --resume.

    Example of a fan: diffus sweep t1.nii.gz --side left --target 0 -15 15 --fan 40 --out out/fan

    Example from one pose to another: diffus sweep t1.nii.gz --from -70 -15 20 0 -15 15 --to -66 -15 45 0 -15
    20 --count 60 --out out/way

    Args:
        start: first pose: a pose file (JSON), or six numbers: the world point of the middle of the face and
            the point it looks at. By default on the surface of the brain (or body), by --side and --target.
        via: pose files to pass on the way.
        to: last pose, as --from.
        fan: degrees of tilting out of the image plane. By default 40, where no motion is named.
        rock: degrees of tilting within the image plane.
        turn: degrees of turning about the beam.
        slide: mm of sliding over the surface.
        along: which way it slides: elevation (across the image plane) or lateral.
        poses: file with several poses (JSON), rendered as they are.
        target: world point (RAS mm) on the central beam of a first pose on the surface.
        side: where it stands: left, right, anterior, posterior, superior or inferior.
        count: frames.
        per_second: frames a second.
        nifti: also writes each frame as a slice in its place (NIfTI).
        mp4: yes, no, or auto: where the extra [video] is installed.
        resume: go on with a run of the same inputs that was cut.
        overwrite: leave nothing of what an earlier run wrote to the folder.
        out: folder for everything that is written.
    """

    start: Annotated[tuple[str, ...], tyro.conf.arg(name="from")] = ()
    via: tuple[Path, ...] = ()
    to: tuple[str, ...] = ()
    fan: float | None = None
    rock: float | None = None
    turn: float | None = None
    slide: float | None = None
    along: str = "elevation"
    poses: Path | None = None
    target: tuple[float, float, float] | None = None
    side: str = "left"
    count: int = 40
    per_second: float = 10.0
    nifti: bool = False
    mp4: str = "auto"
    resume: bool = False
    overwrite: bool = False
    out: Path = Path("out/sweep")

    def run(self) -> None:
        """Render and write."""
        self._check()
        probe = self.chosen_probe()
        folder, inputs = SweepFolder(self.out), self._inputs(probe)
        if not folder.check(inputs, resume=self.resume, overwrite=self.overwrite):
            tissue = self.read_tissue()
            poses = self._trajectory(tissue)
            folder.begin(inputs, overwrite=self.overwrite)
            self._render(folder, tissue, probe, poses)
            self._finish(folder, probe, poses)
        written = {_WHAT[path.name]: path for path in folder.files()}
        report_outputs({"frames": folder.frame(0, ".npz").parent} | written)

    def _check(self) -> None:
        from diffus.extras import require_extra
        from diffus.plot.gif import MOST_PER_SECOND
        from diffus.plot.mp4 import EXTRA, MODULE, PURPOSE
        from diffus.surface import DIRECTIONS
        from diffus.trajectory import ALONG

        self.require_tissue()
        named = [f"--{name}" for name in _MOTIONS if getattr(self, name) not in (None, ())]
        if len(named) > 1:
            raise ValueError(f"a sweep is one motion, got {', '.join(named)}: give one of them")
        if self.via and not self.to:
            raise ValueError("--via lies on the way to another pose: give --to")
        if self.poses is not None and (self.start or self.target):
            raise ValueError("--poses are rendered as they are: leave --from and --target out")
        if self.start and self.target:
            raise ValueError("--target is for a pose on the surface: leave it out beside --from")
        require_one_of("--mp4", self.mp4, _MP4)
        require_one_of("--along", self.along, ALONG)
        require_one_of("--side", self.side, DIRECTIONS)
        require_positive("--per-second", per_second=self.per_second)
        if self.count < 2:
            raise ValueError(f"--count must be at least 2, got {self.count}")
        if self.per_second > MOST_PER_SECOND:
            raise ValueError(f"--per-second must be at most {MOST_PER_SECOND:g}, got {self.per_second:g}")
        if self.mp4 == "yes":
            require_extra(MODULE, EXTRA, PURPOSE)

    def _trajectory(self, tissue: Tissue) -> Float64[Tensor, "T 4 4"]:
        from diffus import pose, trajectory
        from diffus.surface import on_surface

        if self.poses is not None:
            return pose.as_batch(pose.load(self.poses))
        start = _pose_of(self.start) if self.start else on_surface(tissue.body, self.target, self.side)
        if self.to:
            return trajectory.through(
                [start, *(_pose_of((str(path),)) for path in self.via), _pose_of(self.to)], self.count
            )
        if self.slide is not None:
            return trajectory.slide(tissue.body, start, self.slide, self.count, self.along)
        if self.rock is not None:
            return trajectory.rock(start, self.rock, self.count)
        if self.turn is not None:
            return trajectory.turn(start, self.turn, self.count)
        return trajectory.fan(start, FAN_DEG if self.fan is None else self.fan, self.count)

    def _render(
        self, folder: SweepFolder, tissue: Tissue, probe: Probe, poses: Float64[Tensor, "T 4 4"]
    ) -> None:
        """Each frame to its own file, and to the sequence and animations, which appear when all are done."""
        from diffus.cli.register_progress import shown_progress
        from diffus.io.sequence_writer import recorded_sequence
        from diffus.plot.animation import recorded
        from diffus.plot.moving import SweepStage

        stage: SweepStage | None = None
        with ExitStack() as open_files:
            sequence = recorded_sequence(
                self.out / SEQUENCE, spacing_mm=self.spacing_mm, per_second=self.per_second
            )
            add = open_files.enter_context(sequence)
            names = [GIF, MP4] if self._makes_mp4() else [GIF]
            recorders = [
                open_files.enter_context(recorded(self.out / name, per_second=self.per_second))
                for name in names
            ]
            told = open_files.enter_context(shown_progress())
            for number, at in enumerate(poses):
                told("frames", number, len(poses))  # before the first, so that the bar says what it counts
                frame = self._frame(folder, number, tissue, probe, at)
                add(frame)
                stage = stage or SweepStage(frame, tissue.image)
                picture = stage.show(frame)
                for recorder in recorders:
                    recorder.add(picture)

    def _frame(
        self, folder: SweepFolder, number: int, tissue: Tissue, probe: Probe, at: Float64[Tensor, "4 4"]
    ) -> Frame:
        """A frame that is there already, or rendered and written."""
        import torch

        from diffus.frame import Frame
        from diffus.render import render

        path, slab = folder.frame(number, ".npz"), folder.frame(number, ".nii.gz")
        if path.is_file():
            frame = Frame.load(path)
        else:
            with torch.no_grad():
                frame = render(tissue.medium, probe, at, self.settings).detach()
            frame.save(path, self.spacing_mm)
        if self.nifti and not slab.is_file():
            frame.save(slab, self.spacing_mm)
        return frame

    def _finish(self, folder: SweepFolder, probe: Probe, poses: Float64[Tensor, "T 4 4"]) -> None:
        from diffus import pose
        from diffus.files import write_json, write_text

        pose.save(poses, self.out / "poses.json")
        write_json(self.out / "probe.json", probe.to_dict())
        write_text(self.out / SUMMARY, self._summary(folder, probe, poses))

    def _makes_mp4(self) -> bool:
        from importlib.util import find_spec

        from diffus.plot.mp4 import MODULE

        return self.mp4 == "yes" or (self.mp4 == "auto" and find_spec(MODULE) is not None)

    def _inputs(self, probe: Probe) -> dict[str, Any]:
        from diffus.cli.register_folder import inputs_of

        options: dict[str, Any] = {"settings": self.settings.to_dict(), "probe": probe.to_dict()}
        files: dict[str, list[Path]] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name in _NAME_FILES:
                paths = [value] if isinstance(value, str | Path) else list(value or ())
                files[entry.name] = [Path(path) for path in paths if Path(path).exists()]
            if entry.name not in _NO_MATTER and not files.get(entry.name):
                options[entry.name] = value if isinstance(value, float | int | str | None) else str(value)
        return inputs_of(options, files)

    def _summary(self, folder: SweepFolder, probe: Probe, poses: Float64[Tensor, "T 4 4"]) -> str:
        from diffus import pose
        from diffus.scalars import number

        shift, turned = pose.distance(poses[:-1], poses[1:])
        lines = [
            f"Swept over {self.volume}: {len(poses)} frames at {self.per_second:g} a second.",
            f"Probe: {probe.kind}, {number(probe.frequency_mhz):g} MHz, {number(probe.depth_mm):g} mm deep, "
            f"{probe.n_scanlines} scanlines of {probe.n_samples} samples.",
            f"The face moves {float(shift.sum()):.1f} mm, the probe turns {float(turned.sum()):.1f} degrees.",
            f"Propagation {self.settings.propagation}, speckle {self.settings.speckle}.",
            "",
            "Files:",
            f"  {folder.frame(0, '.npz').parent.name}: each frame with everything, for `diffus register`",
            *(f"  {path.name}: {_WHAT[path.name]}" for path in folder.files()),
            "",
            f"To register it: diffus register {folder.frame(0, '.npz').parent} --mri ...",
            f"or: diffus register {self.out / SEQUENCE} --probe {self.out / 'probe.json'} --mri ...",
            "In 3D Slicer (extension SlicerIGSIO): load the sequence, put Image under ImageToReference.",
        ]
        return "\n".join(lines) + "\n"


_WHAT = {
    SEQUENCE: "tracked sequence",
    GIF: "animation",
    MP4: "animation as video",
    "poses.json": "poses",
    "probe.json": "probe",
    INPUTS: "what went in",
    SUMMARY: "what was done",
}


def _pose_of(words: tuple[str, ...]) -> Float64[Tensor, "4 4"]:
    """A pose from a file, or from the face and the point that it looks at."""
    from diffus import pose

    if len(words) == 1:
        found = pose.load(words[0])
        if found.ndim != 2:
            raise ValueError(f"{words[0]} holds {len(found)} poses, expected one: give it as --poses")
        return found
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != 6:
        raise ValueError(
            f"a pose is one file or six numbers (the face, and the point that it looks at), got "
            f"{' '.join(words[:_PRINTED])!r}"
        )
    return pose.look_at(numbers[:3], numbers[3:])
