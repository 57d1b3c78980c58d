"""Only the page of the printed address is let in, and it reaches nothing but what is meant for it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.viewer.served import Page, answer, ask, scene, served
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from diffus.viewer import guard
from diffus.viewer.rates import TokenBucket
from diffus.viewer.server import listening


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with served(scene(), tmp_path_factory.mktemp("out")) as page:
        yield page


def status(page: Page, path: str, **headers: str) -> int:
    """The answer to a path that is sent as it stands, without the cookie."""
    connection = http.client.HTTPConnection("127.0.0.1", page.server.port, timeout=10)
    connection.request("GET", path, headers=headers)
    found = connection.getresponse().status
    connection.close()
    return found


def test_the_printed_address_lets_in_and_the_cookie_goes_on(page: Page) -> None:
    with httpx.Client(trust_env=False) as browser:
        opened = browser.get(page.server.url)
        assert opened.status_code == 200
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert browser.get(f"{page.base}/scene.json").status_code == 200


@pytest.mark.parametrize("path", ["/", "/scene.json", "/volume/mri.nii.gz", "/saved", "/static/index.html"])
def test_without_the_token_nothing_is_answered(page: Page, path: str) -> None:
    assert status(page, path) == 403
    assert status(page, f"{path}?token=wrong") == 403
    assert status(page, path, Cookie=f"diffus_token_{page.server.port}=wrong") == 403
    assert status(page, f"{path}?token={page.server.token}") == 200


def test_pages_from_elsewhere_are_refused_even_with_the_token(page: Page) -> None:
    path = f"/scene.json?token={page.server.token}"
    assert status(page, path, Host="evil.example") == 403
    assert status(page, path, Host=f"evil.example:{page.server.port}") == 403
    assert status(page, path, Origin="http://evil.example") == 403
    assert status(page, path, Origin=f"https://127.0.0.1:{page.server.port}") == 403
    assert status(page, path, Origin=f"http://localhost:{page.server.port}") == 200


def test_the_live_connection_is_guarded_alike(page: Page) -> None:
    address = f"ws://127.0.0.1:{page.server.port}/live"
    token = f"{address}?token={page.server.token}"
    for url, origin in ((address, None), (f"{address}?token=wrong", None), (token, "http://evil.example")):
        with pytest.raises(InvalidStatus, match="403"):
            connect(url, origin=origin, proxy=None)  # pyright: ignore[reportArgumentType]
    with connect(token, proxy=None):
        pass


def test_no_file_outside_the_page_s_folder(page: Page) -> None:
    key = f"?token={page.server.token}"
    for path in (
        "../app.py",
        "%2e%2e/app.py",
        "..%2fapp.py",
        "../../pose.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
    ):
        assert status(page, f"/static/{path}{key}") in (403, 404)
        assert status(page, f"/saved/{path}.json{key}") in (400, 404)


def test_what_the_page_may_do_is_said_with_every_answer(page: Page) -> None:
    for path in ("/", "/scene.json", "/static/index.html", "/nothing"):
        policy = page.http.get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe-inline" not in policy
        assert "http" not in policy.replace("ws://", "")


def test_too_long_messages_are_refused_and_longer_ones_end_the_connection(page: Page) -> None:
    with page.live() as live:
        live.send("x" * 70_000)
        assert "70000 bytes is too long" in answer(live)["message"]
        ask(live, 1)
        assert answer(live, "frame")["id"] == 1
        live.send("x" * 400_000)
        with pytest.raises(ConnectionClosed):
            answer(live, "none of these")
    with page.live() as live:
        ask(live, 2)
        assert answer(live, "frame")["id"] == 2


def test_too_large_bodies_are_refused(page: Page) -> None:
    assert page.http.post("/save/pose", content=b"[" * 70_000).status_code == 413
    assert page.http.post("/save/screenshot", content=b"\x89PNG" + bytes(17 * 2**20)).status_code == 413
    assert page.http.get("/scene.json").status_code == 200


def test_a_bucket_lets_a_burst_through_and_then_a_steady_rate() -> None:
    now = [0.0]
    bucket = TokenBucket(10.0, 3.0, clock=lambda: now[0])
    assert [bucket.try_take() for _ in range(5)] == [True] * 3 + [False] * 2
    now[0] = 0.2
    assert [bucket.try_take() for _ in range(3)] == [True, True, False]
    assert bucket.take() == pytest.approx(0.1)
    assert bucket.take() == pytest.approx(0.2)


def test_too_many_requests_are_told_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUESTS_AT_ONCE", 3.0)
    monkeypatch.setattr(guard, "REQUESTS_PER_SECOND", 0.1)
    with served(scene(), tmp_path) as page:
        assert [page.http.get("/saved").status_code for _ in range(5)] == [200] * 3 + [429] * 2
        with page.live() as live:
            ask(live, 1)
            assert answer(live, "frame")["id"] == 1


def test_only_this_machine_can_connect(page: Page) -> None:
    for host in ("0.0.0.0", "192.168.1.1", "example.org", ""):
        with pytest.raises(ValueError, match=r"this machine alone.*127\.0\.0\.1"):
            listening(host, 0)
    assert page.server._socket.getsockname()[0] == "127.0.0.1"


def test_a_taken_port_is_named_with_one_that_is_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"port {port} .*: port (\d+) is free: --port \1"):
            listening("127.0.0.1", port)
    with pytest.raises(ValueError, match="70000"):
        listening("127.0.0.1", 70_000)


def test_the_page_is_there(page: Page) -> None:
    assert (Path(__file__).parents[2] / "src/diffus/viewer/static/index.html").is_file()
    assert page.http.get("/").headers["content-type"].startswith("text/html")
