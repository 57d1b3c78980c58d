"""Scene: what can be added to it."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_positive, require_shape
from diffus.frame import Frame
from diffus.labels import LabelTable, label_table
from diffus.probe import Probe
from diffus.scene import markers
from diffus.scene.drawing import Drawing
from diffus.scene.labels import structures
from diffus.scene.levels import Levels
from diffus.scene.parts import Colour, Label, Mesh, Part
from diffus.scene.planes import fan_picture, frame_picture, slice_picture
from diffus.scene.surfaces import mask_of, surface_of
from diffus.volume import Volume

_SKIN: dict[str, tuple[str, Colour]] = {
    "mask": ("surface", (0.86, 0.70, 0.64)),
    "brain": ("brain", (0.86, 0.70, 0.64)),
    "head": ("head", (0.87, 0.72, 0.60)),
    "body": ("body", (0.87, 0.72, 0.60)),
}


class Scene(Drawing):
    """Surfaces, probes, B-mode images, slices and landmarks in one place, the world (RAS+, mm).

    Every ``add_…`` returns the scene, so that calls can be chained. Nothing is drawn until it is asked for,
    and then without a window. In a notebook a scene shows itself, to be turned with the mouse.

    Args:
        background: light, white or dark.

    Raises:
        ValueError: for another background, or when pyvista is not installed.
    """

    def add(self, *parts: Part) -> Scene:
        """Add parts made elsewhere."""
        self.parts.extend(parts)
        return self

    def add_surface(
        self,
        volume: Volume,
        kind: str | None = None,
        *,
        name: str | None = None,
        colour: Colour | None = None,
        opacity: float = 0.35,
        contrast: str = "t1",
        detail_mm: float = 1.5,
        n_triangles: int = 60_000,
    ) -> Scene:
        """Add the surface of a mask, or of the brain, head or body in an image.

        A mask is closed where it reaches the border of its grid; a head or body that the image cuts off is
        left open there.

        Args:
            volume: a mask, an MRI or a CT.
            kind: ``mask``, ``brain``, ``head`` (both of an MRI) or ``body`` (of a CT). By default ``mask``
                for a boolean volume and ``brain`` for any other.
            name: for the legend.
            colour: red, green and blue in [0, 1].
            opacity: from 0 to 1.
            contrast: of the MRI, where the brain is looked for.
            detail_mm: finest detail.
            n_triangles: at most, nearly.

        Raises:
            ValueError: for an unknown kind, an empty mask, or an image in which nothing is found.
        """
        chosen = kind or ("mask" if volume.data.dtype == torch.bool else "brain")
        mask = mask_of(volume, chosen, contrast)
        shape = surface_of(mask, detail_mm, n_triangles, closed=chosen in ("mask", "brain"))
        usual_name, usual_colour = _SKIN[chosen]
        return self.add(Mesh(name or usual_name, *shape, colour or usual_colour, opacity, listed=True))

    def add_labels(
        self,
        labels: Volume,
        table: str | os.PathLike[str] | LabelTable | None = None,
        *,
        only: Collection[str | int] | None = None,
        opacity: float = 1.0,
        detail_mm: float = 1.0,
        n_triangles: int = 15_000,
        least_voxels: int = 20,
    ) -> Scene:
        """Add a surface for every structure of a label map, with its name and a colour.

        Args:
            labels: whole numbers; 0 is background.
            table: as `label_table` takes it, for the names.
            only: names or values of the structures that are wanted.
            opacity: from 0 to 1.
            detail_mm: finest detail.
            n_triangles: of each, at most, nearly.
            least_voxels: smaller structures are left out.

        Raises:
            ValueError: when the volume is no label map, or holds nothing that is wanted.
        """
        names = table if isinstance(table, LabelTable) or table is None else label_table(table)
        found = [s for s in structures(labels, names, only) if s.voxels >= least_voxels]
        if not found:
            raise ValueError(f"the label map holds no structure of at least {least_voxels} voxels")
        for structure in found:
            inside = labels.crop(*structure.corners)
            mask = Volume(inside.data == structure.label, inside.world_from_voxel)
            shape = surface_of(mask, detail_mm, n_triangles)
            self.add(Mesh(structure.name, *shape, structure.colour, opacity, listed=True))
        return self

    def add_slices(
        self,
        volume: Volume,
        at_mm: Sequence[float] | Float[Tensor, "3"] | None = None,
        planes: Sequence[str] = ("axial", "coronal", "sagittal"),
        *,
        spacing_mm: float | None = None,
    ) -> Scene:
        """Add slices of a volume through a point, without the air around.

        Args:
            volume: MRI or CT.
            at_mm: the point; by default the middle of the volume.
            planes: some of axial, coronal and sagittal.
            spacing_mm: side of a pixel; by default that of the finest voxel side.

        Raises:
            ValueError: for an unknown plane, or when none of them meets the volume.
        """
        place = volume.centre_mm.tolist() if at_mm is None else [float(value) for value in at_mm]
        levels, side = Levels.of(volume), spacing_mm or min(volume.spacing_mm)
        cut = [slice_picture(volume, levels, plane, place, side) for plane in planes]
        shown = [picture for picture in cut if picture is not None]
        if not shown:
            middle = [round(value, 1) for value in volume.centre_mm.tolist()]
            raise ValueError(
                f"no slice through {[round(value, 1) for value in place]} mm meets anything in the volume, "
                f"whose middle is at {middle} mm: give a point inside"
            )
        return self.add(*shown)

    def add_fan_slice(
        self,
        volume: Volume,
        probe: Probe,
        world_from_probe: Float64[Tensor, "4 4"] | Any,
        *,
        margin_mm: float = 15.0,
        spacing_mm: float | None = None,
    ) -> Scene:
        """Add the volume in the plane of a probe's scanlines; a B-mode image in that plane covers it.

        Args:
            volume: MRI or CT.
            probe: whose plane.
            world_from_probe: its pose.
            margin_mm: how far the slice reaches beyond the field of view.
            spacing_mm: side of a pixel; by default that of the finest voxel side.

        Raises:
            ValueError: when the plane holds nothing of the volume.
        """
        at = _one_pose(world_from_probe)
        side = spacing_mm or min(volume.spacing_mm)
        picture = fan_picture(volume, Levels.of(volume), probe, at, margin_mm, side)
        if picture is None:
            raise ValueError(
                f"the volume holds nothing in the image plane of the probe at {at[:3, 3].tolist()} mm"
            )
        return self.add(picture)

    def add_frame(
        self,
        frame: Frame,
        which: int = 0,
        *,
        body: bool = True,
        colour: Colour = markers.PROBE_COLOUR,
        name: str | None = None,
        spacing_mm: float | None = None,
    ) -> Scene:
        """Add a B-mode image in its sector, with its outline, the beam axis and the probe.

        Args:
            frame: whose image.
            which: image of the batch.
            body: whether to show the probe itself.
            colour: of outline and beam axis.
            name: of the outline, for the legend.
            spacing_mm: side of a pixel of the image.
        """
        self.add(frame_picture(frame, which, spacing_mm))
        return self.add_probe(frame.probe, frame.world_from_probe[which], body=body, colour=colour, name=name)

    def add_probe(
        self,
        probe: Probe,
        world_from_probe: Float64[Tensor, "4 4"] | Any,
        *,
        body: bool = True,
        outline: bool = True,
        colour: Colour = markers.PROBE_COLOUR,
        name: str | None = None,
    ) -> Scene:
        """Add a probe: housing, face and marker, the outline of its field of view and its beam axis.

        The face is exact; the housing is what such probes look like. The orientation marker stands on the
        side of the first scanline, which images show on the left.

        Args:
            probe: what kind.
            world_from_probe: where.
            body: whether to show housing, face and marker.
            outline: whether to show the field of view and the beam axis.
            colour: of outline and beam axis.
            name: of the outline, for the legend.
        """
        at = _one_pose(world_from_probe)
        if self.world_from_probe is None:
            self.world_from_probe = at
            self.middle_mm = markers.middle_mm(probe, at)
        if body:
            self.add(*markers.probe_parts(probe, at))
        if outline:
            self.add(*markers.outline_parts(probe, at, colour, name))
        return self

    def add_poses(
        self,
        poses: Float64[Tensor, "B 4 4"] | Any,
        *,
        beam_mm: float = 9.0,
        radius_mm: float = 0.5,
        most_arrows: int = 25,
        labels: tuple[str, str] | None = ("first", "last"),
    ) -> Scene:
        """Add the path through several poses, coloured by their order, with arrows along the beam.

        Args:
            poses: ``world_from_probe`` of each, in order.
            beam_mm: length of the arrows.
            radius_mm: of the path.
            most_arrows: of more poses, so many evenly spread ones have arrows.
            labels: words at both ends.
        """
        require_positive("path", beam_mm=beam_mm, radius_mm=radius_mm)
        places = pose.as_batch(poses).detach().cpu()
        return self.add(*markers.path_parts(places.numpy(), beam_mm, radius_mm, most_arrows, labels))

    def add_landmarks(
        self,
        points_mm: Float[Tensor, "L 3"] | Sequence[Sequence[float]],
        names: Sequence[str] | None = None,
        *,
        colour: Colour = (0.84, 0.15, 0.16),
        radius_mm: float = 1.5,
        name: str = "landmarks",
    ) -> Scene:
        """Add balls at points of the world.

        Args:
            points_mm: the places.
            names: written beside them.
            colour: of balls and names.
            radius_mm: of a ball.
            name: of all, for the legend.

        Raises:
            ValueError: when there is not one name for each point.
        """
        points = torch.as_tensor(points_mm, dtype=torch.float64)
        require_shape("points_mm", points.shape, "(L, 3)", points.ndim == 2 and points.shape[1] == 3)
        if names is not None and len(names) != len(points):
            raise ValueError(f"add_landmarks: got {len(points)} points and {len(names)} names")
        places = points.detach().cpu().numpy()
        self.add(markers.balls(places, radius_mm, colour, name))
        words = [Label(text, place, colour) for text, place in zip(names or (), places, strict=False)]
        return self.add(*words)


def _one_pose(world_from_probe: Any) -> Float64[Tensor, "4 4"]:
    at = pose.from_matrix(world_from_probe).detach().cpu()
    require_shape("world_from_probe", at.shape, "(4, 4), one pose", at.ndim == 2)
    return at
