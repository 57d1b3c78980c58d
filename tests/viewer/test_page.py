"""The viewer's page in a real browser: what is done by hand, and what is then seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser
from tests.viewer.browsing import Tab, browser

import diffus
from diffus import Volume, pose
from diffus.registration import SearchOptions
from diffus.viewer import RealFrame, ViewerScene, ViewerServer
from diffus.viewer.pictures import grey, pixel_grid
from diffus.viewer.requests import view_of

TOKEN = "a-token-of-the-tests"
QUICK = SearchOptions(reach_mm=6, reach_deg=6, n_survey=32, n_starts=2)
START = pose.look_at((-66, -20, 44), (0, -20, 8))
TAKEN = pose.perturb(START, torch.tensor([2.0, -1.0, 3.0, 2.0, 1.0, -1.0], dtype=torch.float64))
PROBE = diffus.ConvexProbe(depth_mm=60, n_scanlines=64, n_samples=128, frequency_mhz=2.0, focus_mm=30)


@pytest.fixture(scope="module")
def scene() -> ViewerScene:
    """The example brain, its slices coarse so that a machine without a graphics card draws them quickly."""
    brain = diffus.datasets.example_brain()
    medium = diffus.Medium.from_tissue_maps(brain)
    assert brain.image is not None
    coarse = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0], dtype=torch.float64))
    shown = Volume(brain.image.data[::3, ::3, ::3].contiguous(), brain.image.world_from_voxel @ coarse)
    real = RealFrame(diffus.render(medium, PROBE, TAKEN), has_pose=False, name="taken")
    return ViewerScene(shown, medium, PROBE, START, ultrasound=real, name="brain")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("viewer")


@pytest.fixture(scope="module")
def server(scene: ViewerScene, out: Path) -> Iterator[ViewerServer]:
    with ViewerServer(scene, out, port=0, token=TOKEN, options=QUICK) as running:
        yield running


@pytest.fixture(scope="module")
def opened(chromium: Browser, server: ViewerServer) -> Iterator[Tab]:
    tab = Tab(chromium)
    tab.open(server.url)
    yield tab
    tab.close()


@pytest.fixture
def tab(opened: Tab) -> Iterator[Tab]:
    """The page at its start; whatever a test does, it complains of nothing and asks nobody else."""
    opened.reset()
    yield opened
    assert opened.complaints == []
    outside = [url for url in opened.asked if not re.match(r"(http://127\.0\.0\.1:\d+/|data:|blob:)", url)]
    assert outside == []


def expected(scene: ViewerScene, request: dict[str, Any]) -> np.ndarray:
    """Grey values of the library's own frame."""
    view = view_of({key: request[key] for key in ("pose", "probe", "settings")}, scene)
    frame = diffus.render(scene.medium, view.probe, view.world_from_probe, view.settings)
    return grey(frame.cartesian(pixel_grid(view.probe).spacing_mm)[0]).numpy()


def centre_of(tab: Tab, selector: str) -> tuple[float, float]:
    box = tab.page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_image_is_the_librarys_and_the_canvas_shows_it_upright(tab: Tab, scene: ViewerScene) -> None:
    image = tab.image()
    np.testing.assert_array_equal(image, expected(scene, tab.request()))
    rows, columns = np.nonzero(image)
    pick = np.random.default_rng(0).choice(len(rows), 400)
    script = """(pixels) => pixels.map(([row, column]) => {
        const panel = diffus.bmode.panels[0];
        const { left_mm, top_mm, spacing_mm } = diffus.live.latest;
        const ratio = window.devicePixelRatio;
        const [x, z] = [left_mm + column * spacing_mm, top_mm + row * spacing_mm];
        return [panel.toX(x) * ratio, panel.toY(z) * ratio];
    })"""
    places = tab.page.evaluate(script, [[int(rows[i]), int(columns[i])] for i in pick])
    drawn = tab.canvas("bmode-canvas", places)[:, 0]
    assert np.corrcoef(drawn, image[rows[pick], columns[pick]])[0, 1] > 0.98
    flipped = np.corrcoef(drawn, image[:, ::-1][rows[pick], columns[pick]])[0, 1]
    assert flipped < 0.9, "a mirrored image would not be noticed"


def test_the_poses_of_the_page_are_the_librarys(tab: Tab) -> None:
    tangents = torch.randn(6, 6, dtype=torch.float64) * torch.tensor([40.0, 40, 40, 20, 20, 20])
    script = """async ([start, tangents]) => {
        const { perturb, angles, aimAt, distance } = await import('/static/pose.js');
        return tangents.map((t) => {
            const moved = perturb(start, { turn_deg: t.slice(0, 3), slide_mm: t.slice(3) });
            const apart = distance(start, moved);
            return [moved, angles(moved), aimAt(moved, [5, 6, 7]), [apart.mm, apart.deg]];
        });
    }"""
    start = pose.perturb(START, torch.tensor([10.0, -20, 30, 0, 0, 0], dtype=torch.float64))
    answers = tab.page.evaluate(script, [start.flatten().tolist(), tangents.tolist()])
    for tangent, (moved, angles, aimed, apart) in zip(tangents, answers, strict=True):
        truth = pose.perturb(start, tangent)
        found = torch.tensor(moved, dtype=torch.float64).reshape(4, 4)
        torch.testing.assert_close(found, truth, atol=1e-9, rtol=0)
        torch.testing.assert_close(pose.from_euler(angles, truth[:3, 3], "XYZ"), truth, atol=1e-9, rtol=0)
        apart_mm_deg = torch.tensor(apart, dtype=torch.float64)
        torch.testing.assert_close(apart_mm_deg, torch.stack(pose.distance(start, truth)))
        beam = pose.from_matrix(torch.tensor(aimed, dtype=torch.float64).reshape(4, 4))
        to_target = torch.tensor([5.0, 6, 7], dtype=torch.float64) - beam[:3, 3]
        torch.testing.assert_close(to_target / to_target.norm(), beam[:3, 2], atol=1e-9, rtol=0)
        torch.testing.assert_close(beam[:3, 3], truth[:3, 3], atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("keys", "tangent"),
    [
        (["ArrowRight", "ArrowRight", "Shift+ArrowDown"], [0, 0, 0, 2, 0.2, 0]),
        (["PageDown", "PageDown", "PageDown", "PageUp"], [0, 0, 0, 0, 0, 2]),
        (["w", "w", "s", "w"], [2, 0, 0, 0, 0, 0]),
        (["d", "a", "a"], [0, -1, 0, 0, 0, 0]),
        (["e", "Shift+E", "q", "e"], [0, 0, 1.2, 0, 0, 0]),
    ],
)
def test_keys_move_the_probe(tab: Tab, scene: ViewerScene, keys: list[str], tangent: list[float]) -> None:
    tab.page.focus("#bmode-canvas")
    for key in keys:
        tab.page.keyboard.press(key)
    tab.settle()
    truth = pose.perturb(START, torch.tensor(tangent, dtype=torch.float64))
    torch.testing.assert_close(tab.pose(), truth, atol=1e-9, rtol=0)
    np.testing.assert_array_equal(tab.image(), expected(scene, tab.request()))


def test_the_mouse_slides_presses_and_turns_the_probe(tab: Tab, scene: ViewerScene) -> None:
    mouse, keyboard = tab.page.mouse, tab.page.keyboard
    per_mm = tab.page.evaluate("diffus.bmode.pixelsPerMm")
    x, y = centre_of(tab, "#bmode-canvas")
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 30, y + 12, steps=6)
    mouse.up()
    slid = pose.perturb(START, torch.tensor([0, 0, 0, 30 / per_mm, 12 / per_mm, 0], dtype=torch.float64))
    torch.testing.assert_close(tab.pose(), slid, atol=1e-6, rtol=0)
    mouse.wheel(0, 100)
    tab.until("diffus.state.pose.some((v, i) => Math.abs(v - diffus.history.present.pose[i]) > 1e-6)")
    pressed = pose.perturb(slid, torch.tensor([0, 0, 0, 0, 0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(tab.pose(), pressed, atol=1e-6, rtol=0)
    keyboard.down("Shift")
    mouse.down()
    mouse.move(x + 40, y + 12)
    mouse.up()
    keyboard.up("Shift")
    turned = pose.log(pose.compose(pose.inverse(pressed), tab.pose()))
    torch.testing.assert_close(turned[2], torch.tensor(10 * 0.3).double(), atol=1e-4, rtol=0)
    assert turned[:2].abs().max() < 1e-6 and turned[3:].abs().max() < 1e-6
    tab.settle()
    np.testing.assert_array_equal(tab.image(), expected(scene, tab.request()))
    assert re.search(r"\d ms from move to image", tab.page.inner_text("#speed"))


def test_fingers_slide_rotate_and_tilt(tab: Tab) -> None:
    session = tab.context.new_cdp_session(tab.page)
    x, y = centre_of(tab, "#bmode-canvas")

    def touch(kind: str, *points: tuple[float, float]) -> None:
        listed = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": listed})

    touch("touchStart", (x, y))
    touch("touchMove", (x + 20, y))
    touch("touchEnd")
    step = pose.log(pose.compose(pose.inverse(START), tab.pose()))
    assert step[3] > 2
    assert step[[0, 1, 2, 4, 5]].abs().max() < 1e-6
    tab.reset()
    touch("touchStart", (x - 50, y), (x + 50, y))
    touch("touchMove", (x - 50, y - 10), (x + 50, y + 10))
    touch("touchEnd")
    step = pose.log(pose.compose(pose.inverse(START), tab.pose()))
    assert 9 < step[2] < 13
    assert step[[0, 1, 3, 4, 5]].abs().max() < 0.5


def test_every_slider_and_list_changes_the_image_as_the_library_does(tab: Tab, scene: ViewerScene) -> None:
    before = tab.image()
    for name, entry in tab.page.evaluate("diffus.state.entries").items():
        control = tab.page.locator(f"#setting-{name}")
        if "choices" in entry:
            control.select_option(next(c for c in entry["choices"] if c != entry["value"]))
        else:
            control.focus()
            for _ in range(3):
                tab.page.keyboard.press("PageUp" if name != "dynamic_range_db" else "PageDown")
        tab.settle()
        image = tab.image()
        np.testing.assert_array_equal(image, expected(scene, tab.request()), err_msg=name)
        assert image.shape != before.shape or (image != before).any(), f"{name} changes nothing"
        tab.page.click("#reset-settings")
        tab.settle()
        np.testing.assert_array_equal(tab.image(), before)


def test_undo_and_redo_of_pose_and_settings(tab: Tab) -> None:
    assert tab.page.is_disabled("#redo")
    tab.page.focus("#bmode-canvas")
    tab.page.keyboard.press("ArrowRight")
    tab.until("diffus.history.present.pose[7] !== diffus.state.start.pose[7]")
    assert tab.page.is_enabled("#undo")
    moved = tab.pose()
    tab.page.focus("#setting-gain_db")
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("Control+z")
    assert tab.request()["settings"]["gain_db"] == 0
    torch.testing.assert_close(tab.pose(), moved)
    tab.page.keyboard.press("Control+z")
    torch.testing.assert_close(tab.pose(), START)
    tab.page.keyboard.press("Control+Shift+Z")
    torch.testing.assert_close(tab.pose(), moved)
    tab.page.click("#redo")
    assert tab.request()["settings"]["gain_db"] == 0.5


def slices(tab: Tab) -> list[dict[str, Any]]:
    """Kind, box in device pixels and world point in the middle of each slice."""
    script = """diffus.view.tiles.filter(({ kind }) => kind !== 'render').map((tile) => {
        const [left, top, width, height] = tile.box;
        return { kind: tile.kind, box: tile.box, middle: tile.toWorld(left + width / 2, top + height / 2) };
    })"""
    return tab.page.evaluate(script)


def test_the_slices_show_the_volume_where_the_page_thinks(tab: Tab, scene: ViewerScene) -> None:
    random = np.random.default_rng(1)
    for tile in slices(tab):
        left, top, width, height = tile["box"]
        places = (np.array([left, top]) + random.uniform(0.15, 0.85, (300, 2)) * [width, height]).tolist()
        script = """([kind, places]) => {
            const tile = diffus.view.tiles.find((t) => t.kind === kind);
            return places.map((at) => tile.toWorld(...at));
        }"""
        world = torch.tensor(tab.page.evaluate(script, [tile["kind"], places]))
        values = scene.image.sample(world).numpy()
        drawn = tab.canvas("mri-canvas", places)[:, 0]
        assert np.corrcoef(drawn, values)[0, 1] > 0.95, tile["kind"]


def test_the_fan_is_drawn_where_the_probe_stands(tab: Tab) -> None:
    for tangent in ([0.0, 0, 0, 0, 0, 0], [25.0, -15, 40, 3, 5, 4]):
        at = pose.perturb(START, torch.tensor(tangent, dtype=torch.float64))
        tab.page.evaluate("(p) => diffus.state.setPose(p)", at.flatten().tolist())
        tab.settle()
        beam = torch.zeros(200, 3, dtype=torch.float64)
        beam[:, 2] = torch.linspace(2, 58, 200)
        world = pose.transform_points(at, beam)
        point = torch.tensor(tab.page.evaluate("diffus.view.point"), dtype=torch.float64)
        for out, tile in zip((2, 1, 0), slices(tab), strict=True):
            away = (world[:, out] - point[out]).abs()
            cut = torch.nonzero(away <= away.min() + 0.2)[:, 0]
            nearest = world[cut[len(cut) // 2]].tolist()
            script = "([kind, p]) => diffus.view.tiles.find((t) => t.kind === kind).toPixel(p)"
            x, y = tab.page.evaluate(script, [tile["kind"], nearest])
            around = [[x + dx, y + dy] for dx in (-3, 0, 3) for dy in (-3, 0, 3)]
            red, green, blue, alpha = tab.canvas("fan-canvas", around).T
            amber = (red > 200) & (green > 150) & (blue < 140) & (alpha > 200)
            assert amber.any(), f"no line of the fan at {nearest} in the {tile['kind']} slice"


def test_a_click_on_a_slice_aims_the_beam_there_and_shift_puts_the_probe_there(tab: Tab) -> None:
    tile = slices(tab)[1]
    left, top, width, height = tile["box"]
    ratio = tab.page.evaluate("window.devicePixelRatio")
    corner = tab.page.locator("#fan-canvas").bounding_box()
    assert corner is not None
    where = (left + 0.4 * width, top + 0.6 * height)
    script = "(at) => diffus.view.tiles.find((t) => t.kind === 'coronal').toWorld(...at)"
    target = torch.tensor(tab.page.evaluate(script, list(where)), dtype=torch.float64)
    x, y = corner["x"] + where[0] / ratio, corner["y"] + where[1] / ratio
    tab.page.mouse.click(x, y)
    aimed = tab.pose()
    along = pose.transform_points(pose.inverse(aimed), target[None])[0]
    assert along[:2].norm() < 0.6 and along[2] > 0
    torch.testing.assert_close(aimed[:3, 3], START[:3, 3])
    tab.settle()
    tab.page.keyboard.down("Shift")
    tab.page.mouse.click(x, y)
    tab.page.keyboard.up("Shift")
    placed = tab.pose()
    torch.testing.assert_close(placed[:3, :3], aimed[:3, :3])
    assert (placed[:3, 3] - target).norm() < 0.6


def test_looking_around_leaves_the_probe_and_dragging_it_in_a_slice_keeps_it_in_the_slice(tab: Tab) -> None:
    def point() -> list[float]:
        return tab.page.evaluate("diffus.view.point")

    corner = tab.page.locator("#fan-canvas").bounding_box()
    assert corner is not None
    tile = slices(tab)[0]
    left, top, width, height = tile["box"]
    before = point()
    tab.page.mouse.move(corner["x"] + left + 0.3 * width, corner["y"] + top + 0.5 * height)
    tab.page.mouse.wheel(0, -100)
    tab.until(f"Math.abs(diffus.view.point[2] - {before[2] + 1}) < 1e-6")
    turned = "diffus.view.nv.scene.renderAzimuth"
    azimuth = tab.page.evaluate(turned)
    tab.page.mouse.move(corner["x"] + 0.75 * corner["width"], corner["y"] + 0.75 * corner["height"])
    tab.page.mouse.down()
    tab.page.mouse.move(corner["x"] + 0.75 * corner["width"] + 40, corner["y"] + 0.75 * corner["height"])
    tab.page.mouse.up()
    assert tab.page.evaluate(turned) == pytest.approx((azimuth + 20) % 360)
    torch.testing.assert_close(tab.pose(), START)
    tab.page.uncheck("#follow")
    x, y = tab.page.evaluate("(p) => diffus.view.tiles[0].toPixel(p)", START[:3, 3].tolist())
    tab.page.mouse.move(corner["x"] + x, corner["y"] + y)
    tab.page.mouse.down()
    tab.page.mouse.move(corner["x"] + x - 12, corner["y"] + y + 8, steps=4)
    tab.page.mouse.up()
    shift = (tab.pose() - START)[:3, 3]
    assert (
        shift[0] > 3 and shift[1] < -2 and abs(float(shift[2])) < 1e-6
    )  # the patient's right is at the left
    tab.settle()
    assert point()[2] == pytest.approx(before[2] + 1)
    tab.page.check("#follow")
    tab.settle()
    assert point()[2] == pytest.approx(before[2], abs=1e-3)


def test_a_registration_is_streamed_and_kept_or_cancelled(tab: Tab) -> None:
    tab.page.evaluate(
        "diffus.seen = [];"
        "diffus.connection.addEventListener('descent', ({ detail }) => diffus.seen.push(detail))"
    )
    tab.page.click("#registration [data-part='start']")
    tab.until("diffus.seen.length > 1")
    tab.page.keyboard.press("ArrowRight")  # the probe is in the registration's hands
    tab.page.click("#registration [data-part='cancel']")
    tab.until("!diffus.registration.isRunning")
    torch.testing.assert_close(tab.pose(), START)
    assert "cancelled" in tab.page.inner_text("#notice")
    assert tab.page.evaluate("document.activeElement.dataset.part") == "start"
    tab.page.keyboard.press("Enter")
    tab.until("!document.querySelector('#registration [data-part=result]').hidden")
    found = tab.pose()
    far, near = pose.distance(START, TAKEN)[0], pose.distance(found, TAKEN)[0]
    assert near < far / 2
    assert tab.page.inner_text("[data-part='verdict']").lower() == "converged:"
    assert "mm" in tab.page.inner_text("[data-part='numbers']")
    assert len({tuple(seen["pose"]) for seen in tab.page.evaluate("diffus.seen") if seen["pose"]}) > 1
    tab.page.click("#registration [data-part='keep']")
    tab.page.click("#undo")
    torch.testing.assert_close(tab.pose(), START)
    tab.page.click("#redo")
    torch.testing.assert_close(tab.pose(), found)


def test_pose_frame_and_screenshot_are_saved_and_a_pose_taken_up(tab: Tab, out: Path) -> None:
    tab.page.focus("#bmode-canvas")
    tab.page.keyboard.press("ArrowRight")
    saved = tab.pose()
    tab.page.fill("#save-name", "of_a_test")
    for part in ("save-pose", "save-screenshot"):
        tab.page.click(f"[data-part='{part}']")
        tab.until("document.getElementById('notice').textContent.startsWith('Saved')")
        tab.page.evaluate("document.getElementById('notice').textContent = ''")
    torch.testing.assert_close(pose.load(out / "of_a_test.json"), saved)
    picture = Image.open(out / "of_a_test.png").convert("L")
    assert picture.width > 600 and np.asarray(picture)[:, : picture.width // 3].max() > 200
    tab.page.select_option("[data-part='format']", "npz")
    tab.page.click("[data-part='save-frame']")
    tab.until("document.getElementById('notice').textContent.includes('.npz')")
    torch.testing.assert_close(diffus.Frame.load(out / "of_a_test.npz").world_from_probe[0], saved)
    tab.reset()
    tab.page.click("[data-part='load']")
    tab.until("document.getElementById('notice').textContent.includes('taken up')")
    torch.testing.assert_close(tab.pose(), saved)
    tab.page.fill("#save-name", "../elsewhere")
    tab.page.click("[data-part='save-pose']")
    tab.until("document.getElementById('notice').dataset.kind === 'error'")
    tab.page.fill("#save-name", "")
    assert not (out.parent / "elsewhere.json").exists()
    tab.complaints = [
        said for said in tab.complaints if "400" not in said
    ]  # the refusal, as Chromium tells it


def test_the_real_image_is_shown_beside_blended_and_as_checkerboard(tab: Tab) -> None:
    def drawn() -> np.ndarray:
        tab.page.evaluate("diffus.bmode.draw()")
        panel = tab.page.evaluate(
            "diffus.bmode.panels.map(({ left, top, width, height }) => [left, top, width, height])"
        )
        left, top, width, height = panel[-1]
        random = np.random.default_rng(2)
        places = (np.array([left, top]) + random.uniform(0.2, 0.8, (400, 2)) * [width, height]).tolist()
        return tab.canvas("bmode-canvas", places)[:, 0].astype(float)

    shown = {}
    for mode in ("rendered", "real", "blend", "checkerboard"):
        tab.page.check(f"input[value='{mode}']")
        shown[mode] = drawn()
    assert np.abs(shown["real"] - shown["rendered"]).mean() > 5
    half = (shown["real"] + shown["rendered"]) / 2
    assert np.quantile(np.abs(shown["blend"] - half), 0.98) < 4  # but for rounding at steep edges
    from_real = np.abs(shown["checkerboard"] - shown["real"]) < 3
    from_rendered = np.abs(shown["checkerboard"] - shown["rendered"]) < 3
    assert (from_real | from_rendered).mean() > 0.95
    assert 0.2 < (from_real & ~from_rendered).sum() / (from_real ^ from_rendered).sum() < 0.8
    tab.page.check("input[value='beside']")
    beside = drawn()
    assert tab.page.evaluate("diffus.bmode.panels.length") == 2
    assert np.corrcoef(beside, shown["real"])[0, 1] > 0.8
    tab.page.check("input[value='rendered']")


def test_where_there_is_no_image_the_page_says_why_instead_of_showing_another(tab: Tab) -> None:
    away = pose.perturb(START, torch.tensor([0.0, 0, 0, 0, 0, -400]))
    tab.page.evaluate("(p) => diffus.state.setPose(p)", away.flatten().tolist())
    tab.until("diffus.bmode.refusal !== null")
    assert "misses the volume" in tab.page.evaluate("diffus.bmode.refusal")
    assert "misses the volume" in tab.page.inner_text("#notice")
    tab.page.click("#to-start")
    tab.until("diffus.bmode.refusal === null")


def test_everything_can_be_reached_by_keyboard(tab: Tab) -> None:
    script = """() => {
        const at = document.activeElement;
        const style = getComputedStyle(at);
        const name = at.getAttribute('aria-label') || at.labels?.[0]?.textContent || at.textContent;
        const which = at.id || at.dataset.part || at.value || name;
        return [which, name.trim(), style.outlineStyle, at === document.body];
    }"""
    tab.page.evaluate(
        "document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')"
    )
    reached = []
    for _ in range(80):
        tab.page.keyboard.press("Tab")
        which, name, outline, is_end = tab.page.evaluate(script)
        if is_end:
            break
        assert name, f"{which} has no name that is read out"
        assert outline != "none", f"{which} does not show that it has the focus"
        reached.append(which)
    for needed in (
        "show-help",
        "bmode-canvas",
        "setting-gain_db",
        "setting-speckle",
        "start",
        "save-pose",
        "follow",
    ):
        assert needed in reached, f"{needed} cannot be reached; {reached}"
    tab.page.keyboard.press("?")
    assert tab.page.is_visible("#help")
    tab.page.keyboard.press("Escape")
    assert not tab.page.is_visible("#help")


def test_on_a_narrow_screen_nothing_is_cut_off(tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 390, "height": 844})
    tab.settle()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
    cut = """[...document.querySelectorAll('button, select, input, label, dt, dd, h2, .hint')]
        .filter((e) => !['SELECT', 'INPUT'].includes(e.tagName) && getComputedStyle(e).display !== 'inline')
        .filter((e) => e.offsetParent && (e.getBoundingClientRect().right > 390.5
                                          || e.scrollWidth > e.clientWidth + 1))
        .map((e) => e.outerHTML.slice(0, 80))"""
    assert tab.page.evaluate(cut) == []
    order = tab.page.evaluate(
        "['bmode', 'mri', 'settings'].map((id) => document.getElementById(id).getBoundingClientRect().top)"
    )
    assert order == sorted(order)
    tab.page.set_viewport_size({"width": 1200, "height": 640})


def test_a_wrong_token_is_refused(chromium: Browser, server: ViewerServer) -> None:
    page = chromium.new_page()
    answer = page.goto(server.url.replace(TOKEN, "wrong"))
    assert answer is not None and answer.status == 403
    assert "token" in page.inner_text("body")
    page.close()


def test_a_server_that_comes_back_is_found_again(
    chromium: Browser, scene: ViewerScene, tmp_path: Path
) -> None:
    with ViewerServer(scene, tmp_path, port=0, token=TOKEN) as first:
        tab = Tab(chromium)
        tab.open(first.url)
        tab.page.focus("#bmode-canvas")
        tab.page.keyboard.press("ArrowRight")
        tab.settle()
        kept = tab.pose()
    tab.until("!document.getElementById('banner').hidden")
    assert "Connection lost" in tab.page.inner_text("#banner")
    tab.page.keyboard.press("ArrowRight")  # moves on without the server
    with ViewerServer(scene, tmp_path, port=first.port, token=TOKEN):
        tab.until("document.getElementById('banner').hidden && diffus.live.isSettled")
        truth = pose.perturb(kept, torch.tensor([0, 0, 0, 1.0, 0, 0], dtype=torch.float64))
        torch.testing.assert_close(tab.pose(), truth, atol=1e-9, rtol=0)
        np.testing.assert_array_equal(tab.image(), expected(scene, tab.request()))
    with ViewerServer(scene, tmp_path, port=first.port, token="another"):
        tab.until("document.getElementById('banner').textContent.includes('another token')")
    tab.close()
