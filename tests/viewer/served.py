"""A small scene behind a real server on a free port, and a page's side of the connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch
from tests.registration.scene import PROBE, TRUTH, medium, sampled
from torch import Tensor
from websockets.sync.client import ClientConnection, connect

from diffus import Volume, pose
from diffus.registration import COARSE_TO_FINE, SearchOptions
from diffus.viewer import RealFrame, RealUltrasound, ViewerScene, ViewerServer
from diffus.viewer.pictures import unpacked

QUICK = SearchOptions(
    reach_mm=8, reach_deg=8, n_survey=32, n_starts=2, stages=COARSE_TO_FINE[:2], whole_tissue=None
)
OFFSET = torch.tensor([3.0, -2.0, 4.0, 2.0, -2.0, 2.0], dtype=torch.float64)
AWAY = pose.perturb(TRUTH, OFFSET)
"""Where the probe stands at the start: some millimetres from where the real frame was taken."""
WAIT_S = 20.0


def scene(real: RealUltrasound | None = None, kind: type[ViewerScene] = ViewerScene) -> ViewerScene:
    """Balls in tissue, and by default a frame of them taken at `TRUTH`."""
    tissue = medium()
    image = Volume(tissue.backscatter, tissue.world_from_voxel)
    taken = RealFrame(sampled(), has_pose=False, name="taken") if real is None else real
    return kind(image, tissue, PROBE, AWAY, ultrasound=taken, name="balls")


@contextmanager
def served(shown: ViewerScene, out: Path) -> Iterator[Page]:
    """A server for the time of the block, and a page that was let in."""
    with ViewerServer(shown, out, port=0, options=QUICK) as server, Page(server) as page:
        yield page


class Page:
    """What a browser's page does: HTTP with the cookie, and the live connection."""

    def __init__(self, server: ViewerServer) -> None:
        self.server = server
        self.base = f"http://127.0.0.1:{server.port}"
        self.http = httpx.Client(base_url=self.base, trust_env=False, timeout=WAIT_S)
        self.cookie = f"diffus_token_{server.port}={server.token}"
        self.http.headers["Cookie"] = self.cookie

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def live(self, **options: Any) -> ClientConnection:
        """Another live connection."""
        headers = {"Cookie": self.cookie}
        address = f"ws://127.0.0.1:{self.server.port}/live"
        return connect(
            address, additional_headers=headers, max_size=None, compression=None, proxy=None, **options
        )


def ask(socket: ClientConnection, number: int, at: Tensor = AWAY, kind: str = "render", **more: Any) -> None:
    """Send a request from a pose."""
    socket.send(json.dumps({"type": kind, "id": number, "pose": at.flatten().tolist(), **more}))


def answer(socket: ClientConnection, *kinds: str) -> dict[str, Any]:
    """The next message of one of some kinds; of pictures, the pixels stand under ``pixels``."""
    while True:
        received = socket.recv(timeout=WAIT_S)
        if isinstance(received, bytes):
            header, pixels = unpacked(received)
            grid = torch.frombuffer(bytearray(pixels), dtype=torch.uint8)
            content = header | {"pixels": grid.reshape(header["height"], header["width"])}
        else:
            content = json.loads(received)
        if not kinds or content["type"] in kinds:
            return content
