"""Registration from where the probe stands: streamed, cancelled, one at a time, beside live rendering."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.registration.scene import PROBE, TRUTH, medium, sampled
from tests.viewer.served import AWAY, OFFSET, QUICK, Page, answer, ask, scene, served

import diffus
from diffus import Volume, pose
from diffus.registration.motion import displacement_mm, sector_points
from diffus.viewer import RealFrame, RealVolume, ViewerScene, ViewerServer
from diffus.viewer.followed import Told, register_followed

POINTS = sector_points(PROBE)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with served(scene(), tmp_path_factory.mktemp("out")) as page:
        yield page


def matrix(numbers: list[float]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64).reshape(4, 4)


def test_the_descent_is_streamed_to_the_pose_and_frames_go_on_meanwhile(page: Page) -> None:
    with page.live() as live:
        ask(live, 7, kind="register")
        told = [answer(live, "descent")]
        ask(live, 8)
        frame = answer(live, "frame")
        while told[-1]["type"] == "descent":
            told.append(answer(live, "descent", "registered", "refused"))
    descents, result = told[:-1], told[-1]
    assert frame["id"] == 8
    assert result["type"] == "registered"
    assert result["id"] == 7
    assert float(displacement_mm(matrix(result["pose"]), TRUTH, POINTS)) < 0.6
    assert result["verdict"] == "converged"
    assert "correlation" in result["sentence"]
    assert 0 < max(result["std_mm"] + result["std_deg"]) < 1
    assert {descent["stage"] for descent in descents} >= {"survey", "stage 1 of 2"}
    assert all(0 <= descent["step"] <= descent["of"] for descent in descents)
    shown = [matrix(descent["pose"]) for descent in descents if descent["pose"] is not None]
    away = [float(displacement_mm(at, TRUTH, POINTS)) for at in shown]
    assert len(away) >= 3
    assert away[-1] < 0.5 * float(displacement_mm(AWAY, TRUTH, POINTS))
    # The frame was registered from where it was not: the ultrasound's world moves by as much.
    moved = matrix(result["mri_from_ultrasound"]) @ AWAY
    assert torch.allclose(moved, matrix(result["pose"]))


def test_following_changes_nothing() -> None:
    told: list[Told] = []
    frame = sampled()
    settings, near = diffus.RenderSettings(), replace(QUICK, n_survey=8, n_starts=1, stages=QUICK.stages[:1])
    followed = register_followed(
        frame, medium(), PROBE, AWAY, mask=None, settings=settings, options=near, told=told.append
    )
    plain = diffus.register(frame, medium(), PROBE, AWAY, settings=settings, options=near)
    assert torch.equal(followed.world_from_sweep, plain.world_from_sweep)
    assert torch.equal(followed.covariance, plain.covariance)
    best: dict[str, float] = {}
    for news in told:  # within a stage it only gets better
        if news.score is not None:
            assert news.score >= best.get(news.stage, -1)
            best[news.stage] = news.score
    assert told[-1].score == pytest.approx(float(plain.trajectory_scores[-1]), abs=0.05)


def test_cancelled_by_the_page(page: Page) -> None:
    with page.live() as live:
        ask(live, 1, kind="register")
        answer(live, "descent")
        live.send('{"type":"cancel","id":99}')
        assert "no registration of that number" in answer(live, "refused")["message"]
        live.send('{"type":"cancel","id":1}')
        began = time.monotonic()
        assert answer(live, "cancelled", "registered") == {"type": "cancelled", "id": 1}
        assert time.monotonic() - began < 2
        ask(live, 2)
        assert answer(live, "frame")["id"] == 2


def test_a_second_one_is_refused_and_a_closed_page_ends_its_own(page: Page) -> None:
    with page.live() as one, page.live() as two:
        ask(one, 1, kind="register")
        answer(one, "descent")
        ask(two, 2, kind="register")
        assert "running already" in answer(two, "refused")["message"]
        two.send('{"type":"cancel","id":1}')  # that of another page
        assert "no registration" in answer(two, "refused")["message"]
        one.close()
        end = time.monotonic() + 5
        kind = "refused"
        while kind == "refused" and time.monotonic() < end:
            time.sleep(0.02)
            ask(two, 3, kind="register")
            kind = answer(two)["type"]
        assert kind == "descent"
        two.send('{"type":"cancel","id":3}')
        assert answer(two, "cancelled", "registered")["type"] == "cancelled"


def test_what_cannot_be_registered_is_refused(page: Page) -> None:
    far = pose.look_at((0.0, 0.0, 900.0), (0.0, 0.0, 950.0))
    with page.live() as live:
        ask(live, 1, far, kind="register")
        assert "misses the volume" in answer(live, "refused")["message"]
        ask(live, 2, kind="register", probe={"frequency_mhz": -1})
        assert "frequency_mhz" in answer(live, "refused")["message"]


def test_without_real_ultrasound_there_is_nothing_to_register(tmp_path: Path) -> None:
    alone = ViewerScene(scene().image, medium(), PROBE, AWAY)
    with served(alone, tmp_path) as page, page.live() as live:
        assert page.http.get("/scene.json").json()["can_register"] is False
        ask(live, 1, kind="register")
        assert "start the viewer with --ultrasound" in answer(live, "refused")["message"]


def test_a_server_ends_in_the_middle_of_a_registration(tmp_path: Path) -> None:
    with ExitStack() as pages:
        with ViewerServer(scene(), tmp_path, port=0) as server:  # 4096 poses in the survey
            live = pages.enter_context(pages.enter_context(Page(server)).live())
            ask(live, 1, kind="register")
            answer(live, "descent")
            began = time.monotonic()
        assert time.monotonic() - began < 8


def test_a_volume_is_registered_in_the_plane_of_the_probe(tmp_path: Path) -> None:
    """The medium's own backscatter as the volume, lying 2 mm and 3 degrees off in a world of its own."""
    moved = pose.exp(0.5 * OFFSET)  # mri_from_ultrasound
    shown = Volume(medium().backscatter.sqrt(), pose.inverse(moved) @ medium().world_from_voxel)
    real = RealVolume(shown, "swept")
    with served(scene(real), tmp_path) as page, page.live() as live:
        ask(live, 1, TRUTH, kind="register")
        result = answer(live, "registered", "refused")
        assert result["type"] == "registered", result
        found = matrix(result["mri_from_ultrasound"])
        # Where the ultrasound's sector lay, seen from both worlds.
        off = float(displacement_mm(found @ TRUTH, moved @ TRUTH, POINTS))
        assert off < 0.35 * float(displacement_mm(TRUTH, moved @ TRUTH, POINTS))


def test_frames_of_several_images_are_refused() -> None:
    with pytest.raises(ValueError, match="one real frame, got 2"):
        RealFrame(diffus.render(medium(), PROBE, torch.stack([TRUTH, AWAY])))
