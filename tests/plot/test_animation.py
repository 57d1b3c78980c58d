"""Animations: read back by other programs, they hold what was put in."""

from __future__ import annotations

import html.parser
import weakref
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageSequence
from tests.scenes import IDENTITY, PROBES, textured

from diffus import extras, render
from diffus.plot.animation import Animation, animate, recorded
from diffus.plot.gif import GifWriter


def moving_square(count: int, rows: int = 40, columns: int = 61) -> Iterator[np.ndarray]:
    """A red square that steps over a grey ramp."""
    for number in range(count):
        picture = np.repeat(np.linspace(0, 200, columns, dtype=np.uint8)[None, :, None], rows, axis=0)
        picture = np.repeat(picture, 3, axis=2)
        picture[10:20, 5 * number : 5 * number + 10] = (250, 20, 20)
        yield picture


def read_gif(path: Path) -> tuple[list[np.ndarray], list[int], int]:
    with Image.open(path) as image:
        shots, durations = [], []
        for shot in ImageSequence.Iterator(image):
            durations.append(shot.info["duration"])
            shots.append(np.asarray(shot.convert("RGB")).astype(int))
        return shots, durations, image.info["loop"]


def test_a_gif_holds_every_picture_for_its_time_and_repeats(tmp_path: Path) -> None:
    made = animate(moving_square(7), tmp_path / "square.gif", per_second=30)
    assert (made.count, made.size, made.per_second) == (7, (61, 40), 30)
    assert list(tmp_path.iterdir()) == [made.path]
    shots, durations, loop = read_gif(made.path)
    assert loop == 0
    assert durations == [30, 40, 30, 30, 40, 30, 30]  # hundredths of a second that add up to 7/30
    for shot, expected in zip(shots, moving_square(7), strict=True):
        assert np.abs(shot - expected).max() <= 6


def test_an_mp4_has_even_sides_and_plays_in_browsers(tmp_path: Path) -> None:
    made = animate(moving_square(9), tmp_path / "square.mp4", per_second=12.5)
    told = iio.immeta(made.path, plugin="FFMPEG")
    assert told["codec"] == "h264"
    assert told["pix_fmt"].startswith("yuv420p")
    assert told["fps"] == 12.5
    shots = iio.imread(made.path, plugin="FFMPEG")
    assert shots.shape == (9, 40, 62, 3)
    for shot, expected in zip(shots, moving_square(9), strict=True):
        square = expected[..., 0].astype(int) - expected[..., 1] > 100
        red = shot[..., 0].astype(int) - shot[..., 1] > 100
        assert (red[:, :61] == square).mean() > 0.97


def test_figures_frames_and_grey_values_are_pictures(tmp_path: Path) -> None:
    figure = Figure(figsize=(1.23, 0.77))

    def redrawn() -> Iterator[Figure]:
        for colour in ("red", "lime"):
            figure.set_facecolor(colour)
            yield figure

    shots, _, _ = read_gif(animate(redrawn(), tmp_path / "figure.gif", dpi=100).path)
    assert shots[0].shape == (77, 123, 3)
    assert [shot[5, 5].tolist() for shot in shots] == [[255, 0, 0], [0, 255, 0]]
    frame = render(textured(), PROBES["convex"], torch.stack([IDENTITY, IDENTITY]))
    shots, _, _ = read_gif(animate([frame], tmp_path / "frame.gif").path)
    expected = (255 * frame.cartesian()).round().numpy()
    assert len(shots) == 2
    assert np.array_equal(shots[0][..., 0], expected[0])
    grey = [torch.full((4, 6), level) for level in (-1.0, 0.5, 2.0)]
    shots, _, _ = read_gif(animate(grey, tmp_path / "grey.gif").path)
    assert [shot[0, 0, 0] for shot in shots] == [0, 128, 255]


@pytest.mark.parametrize("extension", [".gif", ".mp4"])
def test_what_is_cut_leaves_nothing_and_what_was_there_stays(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"square{extension}"
    animate(moving_square(2), path)
    before = path.read_bytes()

    def cut() -> Iterator[np.ndarray]:
        yield from moving_square(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animate(cut(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_are_not_kept(tmp_path: Path) -> None:
    """Only the last one is alive when the next is made."""
    alive: list[weakref.ref[np.ndarray]] = []

    def watched() -> Iterator[np.ndarray]:
        for number in range(6):
            picture = np.full((8, 8, 3), number, dtype=np.uint8)
            alive.append(weakref.ref(picture))
            yield picture
            del picture
            assert sum(reference() is not None for reference in alive) <= 2

    animate(watched(), tmp_path / "watched.gif")


def test_in_a_notebook_the_file_is_embedded(tmp_path: Path) -> None:
    class Tags(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found = (tag, dict(attrs))

    for extension, tag, begin in (
        (".gif", "img", "data:image/gif;base64,R0lGODlh"),
        (".mp4", "video", "data:video/mp4;base64,AAAA"),
    ):
        made = animate(moving_square(2), tmp_path / f"a&b{extension}")
        tags = Tags()
        tags.feed(made._repr_html_())
        assert tags.found[0] == tag
        assert str(tags.found[1]["src"]).startswith(begin)
        made.path.unlink()
        assert "a&amp;b" in made._repr_html_()
    assert Path(Animation(tmp_path / "x.gif", 1, (2, 2), 1.0)).name == "x.gif"


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    square = list(moving_square(1))
    (tmp_path / "file").write_text("")
    for said, given, name, options in (
        (r"a\.webp: an animation is saved as \.gif or \.mp4, got '\.webp'", square, "a.webp", {}),
        ("at least one frame, got none", [], "a.gif", {}),
        ("at least one frame, got none", [], "a.mp4", {}),
        ("at most 50 frames a second, got 60: save as .mp4", square, "a.gif", {"per_second": 60}),
        ("per_second must be a finite number above 0", square, "a.gif", {"per_second": 0}),
        ("picture 2 has 4 x 3 pixels, those before 61 x 40", [*square, np.zeros((3, 4))], "a.gif", {}),
        (r"\(H, W\) or \(H, W, 3\), got \(2, 2, 4\)", [np.zeros((2, 2, 4))], "a.gif", {}),
        ("NaN or Inf", [np.full((2, 2), np.nan)], "a.gif", {}),
        ("cannot write", square, "file/a.gif", {}),
    ):
        with pytest.raises(ValueError, match=said):
            animate(given, tmp_path / name, **options)
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"imageio_ffmpeg is needed for MP4 .* pip install 'diffus\[video\]'"
    ):
        animate(square, tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_recorded_is_filled_by_a_loop(tmp_path: Path) -> None:
    with recorded(tmp_path / "loop.gif", per_second=5) as recorder:
        for picture in moving_square(3):
            recorder.add(picture)
    assert recorder.animation() == Animation(tmp_path / "loop.gif", 3, (61, 40), 5)


def test_a_picture_that_does_not_change_costs_a_pixel(tmp_path: Path) -> None:
    sizes = []
    for count in (1, 21):
        writer = GifWriter(tmp_path / f"{count}.gif", 10)
        for _ in range(count):
            writer.add(next(moving_square(1)))
        writer.close()
        sizes.append((tmp_path / f"{count}.gif").stat().st_size)
    assert sizes[1] - sizes[0] < 20 * 850  # of which a palette is 768 bytes
