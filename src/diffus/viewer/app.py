"""The web application: the page, its data, the live connection and the output folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from diffus.registration.options import SearchOptions
from diffus.viewer.description import described
from diffus.viewer.live import MOST_MESSAGE_BYTES, Live
from diffus.viewer.real import RealVolume
from diffus.viewer.registering import RegistrationDesk
from diffus.viewer.requests import view_of
from diffus.viewer.saving import MOST_SCREENSHOT_BYTES, OutputFolder
from diffus.viewer.scene import ViewerScene
from diffus.viewer.shown_volume import ShownVolume

STATIC = Path(__file__).parent / "static"
NIFTI_TYPE = "application/gzip"


class ViewerApp:
    """Routes and what they share.

    Args:
        scene: what is shown.
        out: folder that poses, frames and screenshots are written to.
        options: of registrations.
    """

    def __init__(self, scene: ViewerScene, out: Path, options: SearchOptions) -> None:
        self.scene, self.output = scene, OutputFolder(out)
        self.desk = RegistrationDesk(scene, options)
        self.live = Live(scene, self.desk)
        self._image = ShownVolume.of(scene.image)
        real = scene.ultrasound
        self._ultrasound = ShownVolume.of(real.volume) if isinstance(real, RealVolume) else None

    def starlette(self) -> Starlette:
        """The application as servers take it."""
        routes = [
            Route("/", self._page),
            Route("/scene.json", self._scene),
            Route("/volume/mri.nii.gz", self._mri),
            Route("/volume/ultrasound.nii.gz", self._real_volume),
            Route("/saved", self._saved),
            Route("/saved/{name}.json", self._saved_pose),
            Route("/save/pose", self._save_pose, methods=["POST"]),
            Route("/save/frame", self._save_frame, methods=["POST"]),
            Route("/save/screenshot", self._save_screenshot, methods=["POST"]),
            WebSocketRoute("/live", self._live),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        refusals: dict[Any, Any] = {
            HTTPException: lambda _, error: _refused(error.detail, error.status_code),
            FileNotFoundError: lambda _, error: _refused(str(error), 404),
            ValueError: lambda _, error: _refused(str(error), 400),
            Exception: lambda _request, _error: _refused("the server failed: its log says how", 500),
        }
        return Starlette(routes=routes, exception_handlers=refusals, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        self.desk.close()
        self.live.close()

    async def _page(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _scene(self, _request: Request) -> Response:
        return JSONResponse(described(self.scene, self._image))

    async def _mri(self, _request: Request) -> Response:
        return Response(self._image.file, media_type=NIFTI_TYPE)

    async def _real_volume(self, _request: Request) -> Response:
        if self._ultrasound is None:
            raise HTTPException(404, "there is no real ultrasound volume")
        return Response(self._ultrasound.file, media_type=NIFTI_TYPE)

    async def _live(self, websocket: WebSocket) -> None:
        await self.live.serve(websocket)

    async def _saved(self, _request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self.output.poses))

    async def _saved_pose(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self.output.read_pose, request.path_params["name"]))

    async def _save_pose(self, request: Request) -> Response:
        content = await _json_of(request)
        view = view_of(content, self.scene)
        return await _written(lambda: self.output.save_pose(view, content.get("name")))

    async def _save_frame(self, request: Request) -> Response:
        content = await _json_of(request)
        view = view_of(content, self.scene)
        name, extension = content.get("name"), content.get("format", "npz")
        return await _written(lambda: self.output.save_frame(view, self.scene, name, extension))

    async def _save_screenshot(self, request: Request) -> Response:
        image = await _body_of(request, MOST_SCREENSHOT_BYTES)
        name = request.query_params.get("name")
        return await _written(lambda: self.output.save_screenshot(image, name))


async def _written(write: Callable[[], Path]) -> Response:
    path = await asyncio.to_thread(write)
    return JSONResponse({"path": str(path), "name": path.name.partition(".")[0]})


async def _json_of(request: Request) -> dict[str, Any]:
    try:
        content = json.loads(await _body_of(request, MOST_MESSAGE_BYTES))
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise HTTPException(400, f"the body must be a JSON object, got {type(content).__name__}")
    return content


async def _body_of(request: Request, most: int) -> bytes:
    """The body, read no further than its limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise HTTPException(413, f"the body is too large: at most {most} bytes are read")
    return bytes(body)


def _refused(message: str, status: int) -> Response:
    return JSONResponse({"message": " ".join(message.split())}, status)
