"""The tissue models by the names that cards and the command line use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffus.checks import require_one_of
from diffus.learning.convolutional_model import ConvolutionalModel
from diffus.learning.model import TissueModel
from diffus.learning.published_mlp import PublishedMLP
from diffus.learning.voxel_model import VoxelModel

MODELS: dict[str, type[TissueModel]] = {
    model.kind: model for model in (VoxelModel, ConvolutionalModel, PublishedMLP)
}
"""Model classes by kind."""


def tissue_model(
    kind: str, contrasts: Sequence[str], options: Mapping[str, Any] | None = None
) -> TissueModel:
    """A model as it is before training.

    Args:
        kind: voxel, convolutional or published.
        contrasts: what it is to read.
        options: further arguments of its constructor.

    Raises:
        ValueError: for an unknown kind, or options that the model does not have or refuses.
    """
    require_one_of("kind of tissue model", kind, MODELS)
    given = dict(options or {})
    try:
        return MODELS[kind](contrasts, **given)
    except TypeError as error:
        known = ", ".join(MODELS[kind](contrasts).options) or "none"
        raise ValueError(f"options of a {kind} model are {known}; got {given}") from error


def first_model(kind: str, contrasts: Sequence[str], options: Mapping[str, Any] | None = None) -> TissueModel:
    """A model to start training from: the published one fitted to its points, the others untrained.

    Raises:
        ValueError: as `tissue_model`.
    """
    model = tissue_model(kind, contrasts, options)
    if isinstance(model, PublishedMLP):
        return PublishedMLP.fitted(model.contrasts[0], model.seed)
    return model
