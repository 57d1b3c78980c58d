"""Models in files: what was written comes back, and what is not whole is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.learning.scenes import BOTH, features, mask, shaken, volumes

from diffus import Medium, Volume
from diffus.learning import MODELS, MRIFeatures, apply_model, load_card, load_model, save_model, tissue_model
from diffus.learning.card import CARD


def saved(folder: Path, kind: str = "voxel") -> Path:
    model = shaken(tissue_model(kind, BOTH if kind != "published" else ("t2",)), 0.3)
    return save_model(model, folder, {"cases": ["a", "b"], "steps": 7}, {"local_ncc": 0.25})


def edited(card: Path, **changes: object) -> Path:
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))
    return card


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_comes_back(kind: str, tmp_path: Path) -> None:
    contrasts = BOTH if kind != "published" else ("t2",)
    model = shaken(tissue_model(kind, contrasts), 0.3)
    card = save_model(model, tmp_path / "model")
    mri = features().only(contrasts)
    for place in (card, card.parent, str(card)):
        back = load_model(place)
        assert type(back) is type(model)
        assert back.options == model.options
        assert torch.equal(apply_model(back, mri).channels, apply_model(model, mri).channels)


def test_card_says_where_the_model_is_from(tmp_path: Path) -> None:
    card = load_card(saved(tmp_path))
    assert (card.kind, card.contrasts) == ("voxel", BOTH)
    assert card.training == {"cases": ["a", "b"], "steps": 7}
    assert card.metrics == {"local_ncc": 0.25}
    content = json.loads((tmp_path / CARD).read_text())
    assert content["made_by"].startswith("diffus ")
    assert "98th percentile" in content["normalisation"]["text"]


def test_a_medium_from_files(tmp_path: Path) -> None:
    card = saved(tmp_path)
    from_file = Medium.from_model(volumes(), card, mask=mask())
    assert torch.equal(from_file.channels, apply_model(load_model(card), features()).channels)


def test_one_volume_is_read_as_the_contrast_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, ...]] = []

    def seen(volumes: dict[str, Volume], mask: Volume | None) -> MRIFeatures:
        given.append(tuple(volumes))
        return features().only(tuple(volumes))

    monkeypatch.setattr(MRIFeatures, "from_volumes", seen)
    card = saved(tmp_path)
    one = Medium.from_model(volumes()["t2"], card, contrast="t2")
    both = Medium.from_model([volumes()["cet1"], volumes()["t2"]], load_model(card))
    assert given == [("t2",), BOTH]
    assert not torch.equal(one.backscatter, both.backscatter)


def test_writing_again_leaves_one_model(tmp_path: Path) -> None:
    saved(tmp_path, "convolutional")
    saved(tmp_path, "voxel")
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert load_model(tmp_path).kind == "voxel"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version 2, this program reads up to 1: update diffus"),
        ({"version": "one"}, "version 'one'"),
        ({"format": "other"}, "not a model card"),
        ({"normalisation": {"version": 9}}, "normalised by version 9"),
        ({"kind": "unet"}, "unknown kind of tissue model 'unet'"),
        ({"options": {"n_knots": 5, "highest": 1.5}}, "do not belong together"),
        ({"contrasts": ["t1"]}, "do not belong together"),
        ({"weights": {}}, "model card without 'file'"),
        ({"weights": {"file": "other.safetensors", "sha256": ""}}, "weights file not found"),
    ],
)
def test_refuses_cards_that_cannot_be(changes: dict, message: str, tmp_path: Path) -> None:
    card = edited(saved(tmp_path), **changes)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_model(card)


def test_refuses_damaged_weights(tmp_path: Path) -> None:
    card = saved(tmp_path)
    (weights,) = tmp_path.glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"{weights.name} cannot be read as weights"):
        load_model(card)
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=f"{weights.name} is damaged"):
        load_model(card)


def test_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="model card file not found"):
        load_model(tmp_path)
    (tmp_path / CARD).write_text("{")
    with pytest.raises(ValueError, match="is not a JSON model card file"):
        load_card(tmp_path)
