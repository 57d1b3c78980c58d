"""What the page saves can be read by the rest of DiffUS, whole, and lies in the one folder."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from tests.registration.scene import PROBE, TRUTH, medium
from tests.viewer.served import AWAY, Page, answer, ask, scene, served

import diffus
from diffus import Frame, pose

BAD_NAMES = ("../x", "a/b", "/etc/x", "", ".hidden", "a" * 65, "a b", "x.json", "ü", "a\nb", 5)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("view") / "out"


@pytest.fixture(scope="module")
def page(out: Path) -> Iterator[Page]:
    with served(scene(), out) as page:
        yield page


def picture(width: int = 40, height: int = 30) -> bytes:
    held = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)).save(held, "PNG")
    return held.getvalue()


def test_a_pose_is_saved_listed_loaded_and_shown_again(page: Page, out: Path) -> None:
    flat = TRUTH.flatten().tolist()
    answered = page.http.post("/save/pose", json={"pose": flat, "name": "good-one_1"}).json()
    assert answered == {"path": str(out.resolve() / "good-one_1.json"), "name": "good-one_1"}
    assert torch.equal(pose.load(answered["path"]), TRUTH)
    assert {"name": "good-one_1"} in page.http.get("/saved").json()
    loaded = page.http.get("/saved/good-one_1.json").json()
    with page.live() as live:
        ask(live, 1, torch.tensor(loaded["matrix"], dtype=torch.float64))
        shown = answer(live, "frame")["pixels"]
        ask(live, 2, TRUTH)
        assert torch.equal(answer(live, "frame")["pixels"], shown)
    again = page.http.post("/save/pose", json={"pose": AWAY.flatten().tolist(), "name": "good-one_1"})
    assert again.status_code == 400
    assert "choose another name" in again.json()["message"]
    assert torch.equal(pose.load(answered["path"]), TRUTH)
    names = [page.http.post("/save/pose", json={"pose": flat}).json()["name"] for _ in range(2)]
    assert names == ["pose_001", "pose_002"]


@pytest.mark.parametrize("extension", ["npz", "png", "nii.gz"])
def test_a_frame_is_saved_as_it_is_seen(page: Page, extension: str) -> None:
    body = {
        "pose": AWAY.flatten().tolist(),
        "settings": {"gain_db": 6.0},
        "name": f"seen-{extension[:3]}",
        "format": extension,
    }
    path = Path(page.http.post("/save/frame", json=body).json()["path"])
    expected = diffus.render(medium(), PROBE, AWAY, diffus.RenderSettings(gain_db=6.0))
    if extension == "npz":
        assert torch.equal(Frame.load(path).scanlines, expected.scanlines)
    elif extension == "nii.gz":
        voxels = np.asanyarray(nibabel.load(path).dataobj)[..., 0]  # pyright: ignore
        assert np.array_equal(voxels, expected.cartesian()[0].T.numpy())
    else:
        assert Image.open(path).size[0] > 100


def test_a_screenshot_is_kept_byte_by_byte(page: Page) -> None:
    image = picture()
    answered = page.http.post("/save/screenshot?name=shot", content=image).json()
    assert Path(answered["path"]).read_bytes() == image
    assert page.http.post("/save/screenshot", content=image).json()["name"] == "screenshot_001"


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (b"GIF89a" + bytes(50), "signature"),
        (b"<svg onload=alert(1)>", "signature"),
        (picture()[:-200], "whole PNG"),
        (picture()[:30] + b"\xff" + picture()[31:], "whole PNG"),
        (picture(9000, 1), "9000 x 1"),
    ],
)
def test_what_is_no_png_is_refused(page: Page, out: Path, image: bytes, said: str) -> None:
    before = sorted(out.iterdir()) if out.is_dir() else []
    answered = page.http.post("/save/screenshot", content=image)
    assert answered.status_code == 400
    assert said in answered.json()["message"]
    assert (sorted(out.iterdir()) if out.is_dir() else []) == before


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_could_leave_the_folder_are_refused(page: Page, out: Path, name: object) -> None:
    flat = AWAY.flatten().tolist()
    for path in ("/save/pose", "/save/frame"):
        answered = page.http.post(path, json={"pose": flat, "name": name})
        assert answered.status_code == 400
        assert "1 to 64 letters, digits" in answered.json()["message"]
    assert [path.name for path in out.parent.iterdir()] in ([], [out.name])


def test_what_is_no_request_is_refused(page: Page, out: Path) -> None:
    flat = AWAY.flatten().tolist()
    for content, said in (
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (json.dumps({"pose": flat[:3]}).encode(), "sixteen"),
        (json.dumps({"pose": flat, "format": "exe"}).encode(), "'png', 'npz', 'nii.gz'"),
        (json.dumps({"pose": flat, "probe": {"n_samples": 1}}).encode(), "n_samples"),
    ):
        answered = page.http.post("/save/frame", content=content)
        assert answered.status_code == 400
        assert said in answered.json()["message"]
    assert page.http.get("/saved/nothing.json").status_code == 404
    (out / "notes.json").parent.mkdir(exist_ok=True)
    (out / "notes.json").write_text('{"some": "notes"}')
    assert {"name": "notes"} not in page.http.get("/saved").json()
    assert page.http.get("/saved/notes.json").status_code == 400
    assert page.http.get("/save/pose").status_code == 405
