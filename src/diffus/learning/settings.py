"""TrainingSettings: how a tissue model is trained, from Python, JSON or the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from diffus.checks import require_in_range, require_one_of, require_positive
from diffus.learning.augmentation import Augmentation
from diffus.learning.frames import FrameSampling
from diffus.learning.loss import LOSSES
from diffus.learning.registry import MODELS
from diffus.segmentation.contrasts import CONTRASTS

PRECISIONS = ("32-true", "bf16-mixed")
"""Of the network alone; waves are always rendered in single precision."""
AnySettings = TypeVar("AnySettings")


@dataclass(frozen=True, kw_only=True)
class TransformPrior:
    """How well the given transforms between MRI and ultrasound are believed.

    Args:
        sigma_deg: standard deviation of each component of the rotation vector.
        sigma_mm: standard deviation of each component of the shift.
        weight: of the prior beside the loss of a frame. The prior is half the sum of squares of the
            departure in standard deviations.
        learning_rate: of the departure, in standard deviations a step.

    Raises:
        ValueError: for a number that is not above zero.
    """

    sigma_deg: float = 1.0
    sigma_mm: float = 1.0
    weight: float = 0.01
    learning_rate: float = 0.02

    def __post_init__(self) -> None:
        require_positive("TransformPrior", **asdict(self))


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a tissue model is trained.

    Args:
        model: kind of model: voxel, convolutional or published.
        contrasts: what it is to read; a case needs one of them.
        model_options: further arguments of the model.
        steps: at most.
        frames_per_step: frames of one case that a step renders, shared out among processes.
        learning_rate: of Adam, for the weights; by default that of the model.
        penalty: weight of the model's penalty beside the loss of a frame.
        loss: local_ncc or rayleigh, see `diffus.learning.loss`.
        decibel_per_grey: level of one grey value of the ultrasound, for the Rayleigh likelihood, where the
            scanner's dynamic range is known; None where not.
        sampling: of the virtual frames.
        augmentation: what is changed at random from step to step.
        transform: refines each case's transform together with the model; None trusts the given ones.
        validation_share: of the cases that are held out; of a single case, that share of its sweep.
        validation_frames: frames of each case held out.
        validate_every: steps between validations.
        patience: validations without improvement after which training stops.
        checkpoint_every: steps between checkpoints.
        panel_every: steps between pictures; 0 for none.
        precision: 32-true or bf16-mixed, which computes networks in half precision.
        cases_in_memory: prepared cases that are held at a time; the others wait on disk.
        seed: of everything drawn; the same seed gives the same model on one machine.

    Raises:
        ValueError: for an unknown word or a number that cannot be.
    """

    model: str = "voxel"
    contrasts: tuple[str, ...] = ("cet1", "t2")
    model_options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 400
    frames_per_step: int = 8
    learning_rate: float | None = None
    penalty: float = 1.0
    loss: str = "local_ncc"
    decibel_per_grey: float | None = None
    sampling: FrameSampling = field(default_factory=FrameSampling)
    augmentation: Augmentation = field(default_factory=Augmentation)
    transform: TransformPrior | None = None
    validation_share: float = 0.2
    validation_frames: int = 16
    validate_every: int = 20
    patience: int = 10
    checkpoint_every: int = 20
    panel_every: int = 100
    precision: str = "32-true"
    cases_in_memory: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        require_one_of("kind of tissue model", self.model, MODELS)
        require_one_of("loss", self.loss, LOSSES)
        require_one_of("precision", self.precision, PRECISIONS)
        for name in self.contrasts:
            require_one_of("contrast", name, CONTRASTS)
        owner = type(self).__name__
        counts = ("steps", "frames_per_step", "validation_frames", "validate_every", "patience")
        counts += ("checkpoint_every", "cases_in_memory")
        require_in_range(owner, 1, 10**9, **{name: getattr(self, name) for name in counts})
        require_in_range(owner, 0, 10**9, panel_every=self.panel_every, seed=self.seed)
        for name in (*counts, "panel_every", "seed"):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"{owner}: {name} must be a whole number, got {getattr(self, name)!r}")
        require_in_range(owner, 0, 1e6, penalty=self.penalty)
        require_in_range(owner, 0.01, 0.9, validation_share=self.validation_share)
        optional = {"learning_rate": self.learning_rate, "decibel_per_grey": self.decibel_per_grey}
        require_positive(owner, **{name: value for name, value in optional.items() if value is not None})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"contrasts": list(self.contrasts), "model_options": dict(self.model_options)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TrainingSettings:
        """Settings from plain values; what is not there keeps its default.

        Raises:
            ValueError: for a name that is unknown or a value that is refused.
        """
        return _updated(cls(), content, "training setting")


def _updated(settings: AnySettings, content: Any, what: str) -> AnySettings:
    if not isinstance(content, Mapping):
        raise ValueError(f"expected an object of {what}s, got {content!r}")
    known = [entry.name for entry in fields(settings)]  # pyright: ignore[reportArgumentType]
    values: dict[str, Any] = {}
    for name, value in content.items():
        require_one_of(what, name, known)
        before = getattr(settings, name)
        if name == "transform" and value is not None:
            before = before or TransformPrior()
        if is_dataclass(before) and value is not None:
            values[name] = _updated(before, value, f"{name} setting")
        elif isinstance(before, tuple) and isinstance(value, list):
            values[name] = tuple(value)
        else:
            values[name] = value
    try:
        return replace(settings, **values)  # pyright: ignore[reportArgumentType]
    except TypeError as error:
        raise ValueError(f"{what}s {dict(content)} hold a value of another type: {error}") from error
