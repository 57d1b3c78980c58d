"""Trained models in files: weights as safetensors, and a card that says what they are. No code is executed.

A model is a folder with ``model.json``, the card, and the weights that it names. Weights carry the digest of
their content in their name and are written before the card is moved into place: a run that is killed in
between leaves the old model, whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffus.extras import import_extra, require_extra
from diffus.files import read_json, write_aside, write_json
from diffus.learning.features import NORMALISATION, NORMALISATION_VERSION
from diffus.learning.model import TissueModel
from diffus.learning.registry import tissue_model

FILE_FORMAT = "diffus-tissue-model"
FILE_VERSION = 1
CARD = "model.json"
_PURPOSE = "models in files"


@dataclass(frozen=True)
class ModelCard:
    """What a model is and where it comes from.

    Args:
        kind: of model, a key of `diffus.learning.registry.MODELS`.
        contrasts: what it reads.
        options: of its constructor.
        training: cases, steps, settings: whatever the trainer says of it, as plain values.
        metrics: what it scored, by name.
    """

    kind: str
    contrasts: tuple[str, ...]
    options: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def save_model(
    model: TissueModel,
    folder: str | os.PathLike[str],
    training: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Path:
    """Write a model and its card; an earlier model in the folder is replaced.

    Args:
        model: what to write.
        folder: made if it is not there.
        training: for the card, see `ModelCard`.
        metrics: for the card.

    Returns:
        path of the card, which `load_model` takes.

    Raises:
        ValueError: when safetensors is not installed, or the folder cannot be written to.
    """
    import diffus

    where = Path(folder)
    tensors = {name: values.detach().cpu().contiguous() for name, values in model.state_dict().items()}
    digest = digest_of(tensors)
    weights = where / f"model-{digest[:12]}.safetensors"
    write_tensors(weights, tensors, {"format": FILE_FORMAT})
    content = {
        "format": FILE_FORMAT,
        "version": FILE_VERSION,
        "made_by": f"diffus {diffus.__version__}",
        "kind": model.kind,
        "contrasts": list(model.contrasts),
        "options": model.options,
        "normalisation": {"version": NORMALISATION_VERSION, "text": NORMALISATION},
        "weights": {"file": weights.name, "sha256": digest},
        "training": dict(training or {}),
        "metrics": dict(metrics or {}),
    }
    card = write_json(where / CARD, content)
    for earlier in where.glob("model-*.safetensors"):
        if earlier != weights:
            earlier.unlink()
    return card


def load_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read a card alone.

    Args:
        path: the card, or the folder it lies in.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it is no card, of a newer version, or of another normalisation.
    """
    return _card(_content(_card_path(path)))


def load_model(path: str | os.PathLike[str]) -> TissueModel:
    """Read a model.

    Args:
        path: the card, or the folder it lies in.

    Raises:
        FileNotFoundError: when card or weights are not there.
        ValueError: as `load_card`; when the weights are damaged or are not those of the card.
    """
    where = _card_path(path)
    content = _content(where)
    card = _card(content)
    weights = where.parent / Path(str(content["weights"]["file"])).name
    tensors, _ = read_tensors(weights, "weights")
    if digest_of(tensors) != content["weights"]["sha256"]:
        raise ValueError(
            f"{weights} is damaged or not the file that {where.name} was written with: copy both again"
        )
    try:
        model = tissue_model(card.kind, card.contrasts, card.options)
        model.load_state_dict(tensors)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{where}: kind, options and weights do not belong together: {error}") from error
    return model.eval()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], said: Mapping[str, str]) -> None:
    """Write tensors as safetensors, atomically, with words in the file's header."""
    require_extra("safetensors", "learn", _PURPOSE)
    with write_aside(path) as temporary:
        import_extra("safetensors.torch", "learn", _PURPOSE).save_file(
            dict(tensors), temporary, metadata=dict(said)
        )


def read_tensors(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_tensors` wrote: the tensors and the words.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged or something else.
    """
    require_extra("safetensors", "learn", _PURPOSE)
    if not path.is_file():
        raise FileNotFoundError(f"{what} file not found: {path}")
    safetensors = import_extra("safetensors", "learn", _PURPOSE)
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read as {what}: {error}") from error


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _card_path(path: str | os.PathLike[str]) -> Path:
    given = Path(path)
    return given / CARD if given.is_dir() else given


def _content(path: Path) -> dict[str, Any]:
    content = read_json(path, "model card")
    if not isinstance(content, dict) or content.get("format") != FILE_FORMAT:
        raise ValueError(
            f"{path} is not a model card: expected a JSON object with format {FILE_FORMAT!r}, as "
            "save_model and `diffus train` write"
        )
    version = content.get("version")
    if not isinstance(version, int) or version > FILE_VERSION:
        raise ValueError(
            f"{path}: model card version {version!r}, this program reads up to {FILE_VERSION}: update diffus"
        )
    normalisation = content.get("normalisation")
    known = normalisation.get("version") if isinstance(normalisation, dict) else None
    if known != NORMALISATION_VERSION:
        raise ValueError(
            f"{path}: intensities were normalised by version {known!r}, this program does version "
            f"{NORMALISATION_VERSION} ({NORMALISATION}): use the diffus that trained it, or train it again"
        )
    return content


def _card(content: Mapping[str, Any]) -> ModelCard:
    try:
        contrasts = tuple(str(name) for name in content["contrasts"])
        for key in ("file", "sha256"):
            content["weights"][key]
        return ModelCard(
            str(content["kind"]), contrasts, dict(content["options"]), content["training"], content["metrics"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"model card without {error}: it was not written by save_model, or edited"
        ) from error
