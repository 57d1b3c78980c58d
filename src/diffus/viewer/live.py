"""The WebSocket: requests in, pictures out, the newest request first and all clients in turn."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from diffus.viewer.pictures import Picture, packed, real_picture, rendered_picture
from diffus.viewer.rates import TokenBucket
from diffus.viewer.registering import RegistrationDesk
from diffus.viewer.requests import MessageError, read_message, view_of
from diffus.viewer.scene import ViewerScene
from diffus.viewer.threads import worker

MOST_CLIENTS = 8
MOST_MESSAGE_BYTES = 64 * 1024
MESSAGES_PER_SECOND, MESSAGES_AT_ONCE = 200.0, 400.0
_TRY_LATER = 1013
"""Close code for a server that has too much to do (IANA's WebSocket registry)."""
LOG = logging.getLogger(__name__)


class Live:
    """Everyone who looks, and the one thread that renders for them.

    Args:
        scene: what is shown.
        desk: where registrations are run.
    """

    def __init__(self, scene: ViewerScene, desk: RegistrationDesk) -> None:
        self.scene, self._desk = scene, desk
        self.renderer = worker("renderer")
        self._turn = asyncio.Lock()  # hands itself on in the order in which it was asked for
        self._clients: set[_Client] = set()

    async def serve(self, websocket: WebSocket) -> None:
        """One client, from its first message to its last."""
        await websocket.accept()
        client = _Client(websocket)
        if len(self._clients) >= MOST_CLIENTS:
            await client.refuse(f"{MOST_CLIENTS} pages look at this viewer already: close one of them")
            await websocket.close(_TRY_LATER)
            return
        self._clients.add(client)
        drawing = asyncio.create_task(self._draw(client))
        try:
            await self._read(client)
        except WebSocketDisconnect:
            pass
        finally:
            self._clients.discard(client)
            self._desk.cancel(client)
            drawing.cancel()

    def close(self) -> None:
        """Wait for the picture that is being rendered."""
        self.renderer.shutdown(wait=True, cancel_futures=True)

    async def _read(self, client: _Client) -> None:
        """Take messages, no faster than the rate; what is wrong with one is said, and the next is taken."""
        bucket = TokenBucket(MESSAGES_PER_SECOND, MESSAGES_AT_ONCE)
        while True:
            received = await client.websocket.receive()
            if received["type"] == "websocket.disconnect":
                return
            await asyncio.sleep(bucket.take())
            try:
                self._take(client, _text_of(received))
            except MessageError as error:
                await client.refuse(str(error), error.id)

    def _take(self, client: _Client, text: str) -> None:
        content = read_message(text)
        if content["type"] == "render":
            client.ask(content)
        elif content["type"] == "register":
            client.start(self._register(client, content))
        elif not self._desk.cancel(client, content["id"]):
            raise MessageError("no registration of that number is running", content["id"])

    async def _draw(self, client: _Client) -> None:
        """Render what a client asked last, again and again."""
        while True:
            await client.asked.wait()
            async with self._turn:
                content, dropped = client.newest()
                loop = asyncio.get_running_loop()
                answers = await loop.run_in_executor(self.renderer, self._answers, client, content)
            if isinstance(answers, str):
                await client.refuse(answers, content["id"])
                continue
            for header, pixels in answers:
                await client.send_bytes(packed(header | {"id": content["id"], "dropped": dropped}, pixels))

    def _answers(self, client: _Client, content: dict[str, Any]) -> list[Picture] | str:
        """The answers to a request, in the renderer's thread; or in a line why there are none."""
        try:
            return self._pictures(client, content)
        except ValueError as error:
            return str(error)
        except Exception as error:
            LOG.exception("rendering failed")
            return f"rendering failed: {error}"

    def _pictures(self, client: _Client, content: dict[str, Any]) -> list[Picture]:
        view = view_of(content, self.scene)
        answers = [rendered_picture(self.scene, view)]
        if self.scene.ultrasound is not None:
            depends = view.probe if self.scene.ultrasound.kind == "frame" else object()
            if client.real_of != depends:
                answers.append(real_picture(self.scene, view))
                client.real_of = depends
        return answers

    async def _register(self, client: _Client, content: dict[str, Any]) -> None:
        try:
            view = view_of(content, self.scene)
            await self._desk.run(client, content["id"], view, client.send_json)
        except ValueError as error:
            await client.refuse(str(error), content["id"])


class _Client:
    """One page: its newest request, and a way to send to it."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.asked = asyncio.Event()
        self.real_of: object = None
        """What the real picture that was sent last depends on."""
        self._request: dict[str, Any] | None = None
        self._dropped = 0
        self._sending = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, content: dict[str, Any]) -> None:
        """A request takes the place of one that waits."""
        self._dropped += self._request is not None
        self._request = content
        self.asked.set()

    def newest(self) -> tuple[dict[str, Any], int]:
        """The request that waits, and how many it took the place of."""
        assert self._request is not None
        content, dropped = self._request, self._dropped
        self._request, self._dropped = None, 0
        self.asked.clear()
        return content, dropped

    def start(self, work: Any) -> None:
        """Run something beside; kept, so that it is not collected on its way."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def refuse(self, message: str, number: int | None = None) -> None:
        """Say in a line why not."""
        await self.send_json({"type": "refused", "id": number, "message": " ".join(message.split())})

    async def send_json(self, content: dict[str, Any]) -> None:
        await self._send({"type": "websocket.send", "text": json.dumps(content)})

    async def send_bytes(self, content: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": content})

    async def _send(self, message: dict[str, Any]) -> None:
        """Send, one message at a time; to a page that has gone, nothing."""
        async with self._sending:
            if self.websocket.application_state is not WebSocketState.CONNECTED:
                return
            try:
                await self.websocket.send(message)
            except (WebSocketDisconnect, RuntimeError):
                return


def _text_of(received: Message) -> str:
    text = received.get("text")
    if text is None:
        raise MessageError("messages must be text in JSON, got bytes")
    size = len(text.encode())
    if size > MOST_MESSAGE_BYTES:
        raise MessageError(f"message of {size} bytes is too long: at most {MOST_MESSAGE_BYTES} are read")
    return text
