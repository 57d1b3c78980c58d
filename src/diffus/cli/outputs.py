"""What a rendering command leaves in its output folder."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from diffus import plot, pose
from diffus.files import write_json, write_text
from diffus.frame import Frame
from diffus.scalars import number
from diffus.settings import RenderSettings
from diffus.volume import Volume


def write_outputs(
    out: Path, frame: Frame, image: Volume, source: str, spacing_mm: float | None = None
) -> dict[str, Path]:
    """Write the B-mode, the slice with the sector on it, both side by side, the pose, and a text.

    Each file is made aside and moved into place.

    Args:
        out: folder; made if it is not there.
        frame: one image.
        image: the volume it was rendered from, on the picture's left.
        source: what the volume is, in words.
        spacing_mm: side of a pixel of the Cartesian image.

    Returns:
        Path of each file by what it is.
    """
    out = Path(out)
    slice_axes = plot.fan_slice(image, frame.probe, frame.world_from_probe[0])
    written = {
        "B-mode": frame.save(out / "bmode.png", spacing_mm),
        "slice with the sector": plot.save_figure(slice_axes.figure, out / "slice.png"),
        "side by side": plot.save_figure(
            plot.side_by_side(image, frame, spacing_mm=spacing_mm), out / "side_by_side.png"
        ),
        "frame for 3D Slicer": frame.save(out / "frame.nii.gz", spacing_mm),
        "frame with everything": frame.save(out / "frame.npz", spacing_mm),
        "pose": pose.save(frame.world_from_probe[0], out / "pose.json"),
        "probe": write_json(out / "probe.json", frame.probe.to_dict()),
    }
    written["what was done"] = write_text(out / "summary.txt", _summary(frame, image, source, written))
    return written


def report_outputs(written: dict[str, Path]) -> None:
    """Print where everything is."""
    console = Console(soft_wrap=True, highlight=False)
    width = max(map(len, written))
    for what, path in written.items():
        console.print(f"{what:<{width}}  {path}", markup=False)


def _summary(frame: Frame, image: Volume, source: str, written: dict[str, Path]) -> str:
    probe, settings = frame.probe, frame.settings
    position = ", ".join(f"{v:.1f}" for v in frame.world_from_probe[0, :3, 3].tolist())
    beam = ", ".join(f"{v:.3f}" for v in frame.world_from_probe[0, :3, 2].tolist())
    lines = [
        f"Rendered from {source}: {image!r}.",
        f"Probe: {probe.kind}, {number(probe.frequency_mhz):g} MHz, {number(probe.depth_mm):g} mm deep, "
        f"{probe.n_scanlines} scanlines of {probe.n_samples} samples.",
        f"Face at ({position}) mm, beam along ({beam}), RAS.",
        f"Propagation {settings.propagation}, speckle {settings.speckle}, "
        f"TGC {_tgc(settings, frame):.2f} dB/cm, "
        f"gain {number(settings.gain_db):g} dB, dynamic range {number(settings.dynamic_range_db):g} dB.",
        "",
        "Files:",
        *(f"  {path.name}: {what}" for what, path in written.items()),
        "",
        "frame.nii.gz lies in the world of the volume: open both in 3D Slicer to see one over the other.",
    ]
    return "\n".join(lines) + "\n"


def _tgc(settings: RenderSettings, frame: Frame) -> float:
    return number(settings.tgc_at(frame.probe))
