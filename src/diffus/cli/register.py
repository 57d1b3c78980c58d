"""``diffus register``: where an ultrasound frame, a sweep or a volume lies in an MRI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from diffus.checks import require_one_of
from diffus.cli.outputs import report_outputs

if TYPE_CHECKING:
    from diffus.cli.media import Tissue
    from diffus.cli.register_folder import RunFolder
    from diffus.cli.register_inputs import OneFrame, Sweep, SweptVolume
    from diffus.registration import DeformableRegistration, RegistrationResult, VolumeRegistration

NOT_BELIEVED = 1
"""Exit status when the verdict is not ``converged``."""
TRANSFORMS = ("rigid", "affine", "bspline")


@dataclass(frozen=True)
class Register:
    """Find where ultrasound lies in an MRI: one frame, a tracked sweep, or a swept 3D volume.

    Which of them it is, the files say. A FRAME is an .npz as `diffus render` writes it, an image of one slice
    in its place (NIfTI, NRRD, MHA), or a PNG, JPEG or DICOM picture; its probe is found in it unless --probe
    names one. A SWEEP is several such .npz files, a folder of them, one with several images, or a tracked
    sequence (.igs.mha, .mha) with its --calibration. A VOLUME is any other 3D file. The exit status is 0 when
    the answer is to be believed, 1 when not, saying why, and 2 for input that cannot be used.

    Example of a frame: diffus register frame.npz --mri t1.nii.gz --initial tracked.json --out out/frame

    Example of a sweep: diffus register sweep.igs.mha --mri t1.nii.gz flair.nii.gz --contrast t1 flair
    --calibration config.xml --initial mri_from_tracker.tfm --out out/sweep

    Example of a volume: diffus register ultrasound.nii.gz --mri flair.nii.gz --contrast flair --transform
    bspline --out out/volume

    Args:
        ultrasound: FRAME, SWEEP or VOLUME.
        mri: one volume, or several of one head, on one grid unless aligned.
        contrast: what each shows: t1, cet1, t2, flair; or ct or labels, alone.
        align: move the further MRI to where they share most information with the first, onto its grid.
        labels: label map on the same grid, which then gives the tissue values.
        table: table of the labels: tissues, freesurfer, fast, totalsegmentator, or a CSV or JSON file.
        mask: mask of the brain, on the grid of the MRI, instead of the automatic one.
        probe: preset or JSON file, of a frame or sequence that does not carry its own.
        spacing_mm: side of a pixel of a picture that does not say it.
        frequency_mhz: centre frequency of a probe that is found in the image.
        calibration: of a tracked sequence: Plus configuration (XML), or 4x4 from pixels to the sensor's mm.
        initial: rigid transform to look around: 4x4 in text or JSON, pose.json, .npz, or ITK's .tfm and .h5.
            For a frame the probe's pose, for others from their world to that of the MRI. By default the
            frame's own pose, or the identity.
        transform: rigid, or for a volume also affine or bspline (rigid, then free form).
        reach_mm: how far away the truth may be. By default 12, for a volume 10.
        reach_deg: and by how much turned. By default 12, for a volume 10.
        starts: descents. By default 48, for a volume 12.
        survey: poses that are looked at to choose where descents begin. By default 4096, for a volume 256.
        steps: of each descent of a volume at most. By default 20, of the free form 30.
        seed: of the search; the same seed gives the same answer on one machine.
        resume: go on with a run of the same inputs that was cut, or tell its result again.
        overwrite: leave nothing of what an earlier run wrote to the folder.
        out: folder for everything that is written.
    """

    ultrasound: tyro.conf.Positional[tuple[Path, ...]]
    mri: tuple[Path, ...]
    contrast: tuple[str, ...] = ("t1",)
    align: bool = False
    labels: Path | None = None
    table: str = "tissues"
    mask: Path | None = None
    probe: str | None = None
    spacing_mm: float | None = None
    frequency_mhz: float = 6.0
    calibration: Path | None = None
    initial: Path | None = None
    transform: str = "rigid"
    reach_mm: float | None = None
    reach_deg: float | None = None
    starts: int | None = None
    survey: int | None = None
    steps: int | None = None
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    out: Path = Path("out/register")

    def run(self) -> int:
        """Register, write, and say by the exit status whether the answer is to be believed."""
        from diffus.cli.register_folder import RunFolder
        from diffus.cli.register_inputs import HowMade, SweptVolume, in_words, read_ultrasound

        self._check()
        made = HowMade(
            probe=self.probe,
            spacing_mm=self.spacing_mm,
            frequency_mhz=self.frequency_mhz,
            calibration=self.calibration,
        )
        ultrasound = read_ultrasound(self.ultrasound, made)
        what = in_words(ultrasound)
        self._check_transform(what, isinstance(ultrasound, SweptVolume))
        _say(f"{', '.join(path.name for path in self.ultrasound)}: {what}")
        folder = RunFolder(self.out)
        if isinstance(ultrasound, SweptVolume):
            return self._run_volume(ultrasound, folder, what)
        return self._run_pose(ultrasound, folder, what)

    def _check(self) -> None:
        from diffus.cli.media import require_contrasts

        if not self.ultrasound:
            raise ValueError("give the ultrasound: a FRAME, a SWEEP or a VOLUME, before the options")
        require_one_of("transform", self.transform, TRANSFORMS)
        require_contrasts(self.mri, self.contrast)

    def _check_transform(self, what: str, is_volume: bool) -> None:
        if is_volume:
            return
        if self.transform != "rigid":
            raise ValueError(
                f"--transform {self.transform} needs a swept volume, and this is {what}: planes do not "
                "determine how tissue between them is stretched; leave it out"
            )
        if self.steps is not None:
            raise ValueError("--steps is for a swept volume: leave it out")

    def _run_pose(self, given: OneFrame | Sweep, folder: RunFolder, what: str) -> int:
        from diffus.cli.register_folder import RESULT
        from diffus.cli.register_outputs import write_pose_result
        from diffus.registration import RegistrationResult
        from diffus.registration.checkpoint import kept_in

        initial = self._initial_of(given)
        options = self._search_options()
        if folder.begin(self._inputs(), resume=self.resume, overwrite=self.overwrite):
            return _finished(folder, RegistrationResult.load(self.out / RESULT))
        tissue = self._tissue()
        with kept_in(folder.state):
            result = _found_pose(given, tissue, initial, options)
        report_outputs(write_pose_result(self.out, result, given[0], tissue, self._told(what)))
        folder.finish()
        return _status(result)

    def _run_volume(self, given: SweptVolume, folder: RunFolder, what: str) -> int:
        from diffus.cli.register_folder import RESULT
        from diffus.cli.register_outputs import DEFORMATION, write_volume_result
        from diffus.cli.register_start import initial_transform
        from diffus.registration import DeformableRegistration, VolumeRegistration
        from diffus.registration.checkpoint import kept_in

        initial = None if self.initial is None else initial_transform(self.initial)
        self._volume_settings()
        if folder.begin(self._inputs(), resume=self.resume, overwrite=self.overwrite):
            is_free = self.transform == "bspline" and (self.out / DEFORMATION).is_file()
            deformation = DeformableRegistration.load(self.out / DEFORMATION) if is_free else None
            return _finished(folder, VolumeRegistration.load(self.out / RESULT), deformation)
        tissue = self._tissue()
        with kept_in(folder.state):
            result, deformation = self._found_transform(given, tissue, initial)
        report_outputs(
            write_volume_result(self.out, result, deformation, given.volume, tissue, self._told(what))
        )
        folder.finish()
        return _status(result, deformation)

    def _found_transform(
        self, given: SweptVolume, tissue: Tissue, initial: Any
    ) -> tuple[VolumeRegistration, DeformableRegistration | None]:
        from diffus.cli.register_progress import shown_progress
        from diffus.registration import SweepGeometry, register_deformable, register_volume
        from diffus.registration.deformable import DeformableSettings

        settings = self._volume_settings()
        with shown_progress() as progress:
            progress("sector", 0, 1)
            geometry = SweepGeometry.found_in(given.volume, self.frequency_mhz)
            result = register_volume(
                given.volume,
                tissue.medium,
                geometry,
                initial=initial,
                settings=settings,
                progress=progress,
            )
            if self.transform != "bspline" or result.verdict == "out_of_view":
                return result, None
            free = DeformableSettings() if self.steps is None else DeformableSettings(n_steps=self.steps)
            matrix = result.mri_from_ultrasound
            return result, register_deformable(result.sweep, tissue.medium, matrix, free, progress)

    def _initial_of(self, given: OneFrame | Sweep) -> Any:
        from diffus.cli.register_inputs import OneFrame
        from diffus.cli.register_start import initial_pose, initial_transform

        if not isinstance(given, OneFrame):
            return None if self.initial is None else initial_transform(self.initial)
        carried = given.frame.world_from_probe[0] if given.has_pose else None
        if self.initial is not None:
            return initial_pose(self.initial, carried)
        if carried is None:
            raise ValueError("the image carries no pose: give --initial, the probe's pose to look around")
        return carried

    def _search_options(self) -> Any:
        from diffus.registration import SearchOptions

        given = {
            "reach_mm": self.reach_mm,
            "reach_deg": self.reach_deg,
            "n_survey": self.survey,
            "n_starts": self.starts,
        }
        return SearchOptions(seed=self.seed, **{k: v for k, v in given.items() if v is not None})

    def _volume_settings(self) -> Any:
        from diffus.registration import SearchSettings, VolumeSettings

        given = {
            "reach_mm": self.reach_mm,
            "reach_deg": self.reach_deg,
            "n_starts": self.survey,
            "n_descents": self.starts,
            "n_steps": self.steps,
        }
        chosen: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        search = SearchSettings(seed=self.seed, **chosen)
        return VolumeSettings(transform="affine" if self.transform == "affine" else "rigid", search=search)

    def _tissue(self) -> Tissue:
        from diffus.cli.media import tissue_of

        return tissue_of(
            self.mri,
            self.contrast,
            mask=self.mask,
            labels=self.labels,
            table=self.table,
            align=self.align,
        )

    def _inputs(self) -> dict[str, Any]:
        from diffus.cli.register_folder import inputs_of

        files: dict[str, list[Path]] = {"ultrasound": list(self.ultrasound), "mri": list(self.mri)}
        for name in ("labels", "mask", "calibration", "initial"):
            path: Path | None = getattr(self, name)
            files[name] = [] if path is None else [path]
        options: dict[str, Any] = {"contrast": list(self.contrast), "align": self.align}
        for name in ("probe", "table"):
            word: str | None = getattr(self, name)
            options[name] = word
            files[name] = [Path(word)] if word is not None and Path(word).is_file() else []
        for name in ("spacing_mm", "frequency_mhz", "transform", "reach_mm", "reach_deg"):
            options[name] = getattr(self, name)
        for name in ("starts", "survey", "steps", "seed"):
            options[name] = getattr(self, name)
        return inputs_of(options, files)

    def _told(self, what: str) -> list[str]:
        volumes = zip(self.mri, self.contrast, strict=True)
        return [
            f"Registered {', '.join(str(path) for path in self.ultrasound)}, {what},",
            f"to {', '.join(f'{path} ({contrast})' for path, contrast in volumes)}, seed {self.seed}.",
        ]


def _found_pose(given: OneFrame | Sweep, tissue: Tissue, initial: Any, options: Any) -> RegistrationResult:
    from diffus.cli.register_inputs import OneFrame
    from diffus.cli.register_progress import shown_progress
    from diffus.registration import register, register_sweep

    with shown_progress() as progress:
        if isinstance(given, OneFrame):
            return register(
                given.frame,
                tissue.medium,
                initial=initial,
                mask=given.mask,
                options=options,
                progress=progress,
            )
        return register_sweep(
            given.frames,
            tissue.medium,
            given.frames.world_from_probe,
            initial=initial,
            mask=given.mask,
            options=options,
            progress=progress,
        )


def _finished(folder: RunFolder, result: Any, deformation: Any = None) -> int:
    """Tell the result of a run that had come to its end."""
    folder.finish()
    report_outputs({path.name: path for path in folder.files()})
    return _status(result, deformation)


def _status(result: Any, deformation: DeformableRegistration | None = None) -> int:
    """Print what was found; the exit status."""
    _say(result.summary())
    if deformation is not None:
        _say(deformation.summary())
    failed = not result.converged or (deformation is not None and not deformation.plausible)
    if failed:
        squeezed = "the deformation squeezes tissue to less than half its volume"
        reason = squeezed if result.converged else f"{result.verdict}, {result.reason}"
        _say(f"diffus: not to be believed: {reason}", stderr=True)
    return NOT_BELIEVED if failed else 0


def _say(text: str, stderr: bool = False) -> None:
    from rich.console import Console

    Console(highlight=False, soft_wrap=True, stderr=stderr).print(text, markup=False)
