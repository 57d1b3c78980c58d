"""The one registration that may run at a time, in a thread of its own, so that live rendering goes on."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import torch

from diffus import pose
from diffus.registration.options import SearchOptions
from diffus.registration.result import RegistrationResult
from diffus.viewer.followed import Told, register_followed
from diffus.viewer.requests import View
from diffus.viewer.scene import ViewerScene
from diffus.viewer.threads import worker

Send = Callable[[dict[str, Any]], Awaitable[None]]
"""Sends a message to the client that asked."""
PAUSE_S = 0.08
"""Between two messages on the way down; what comes meanwhile is passed over for the newest."""
LOG = logging.getLogger(__name__)


class Cancelled(Exception):
    """Raised inside a registration that is to end."""


class RegistrationDesk:
    """Takes one registration at a time.

    Args:
        scene: gives medium and real ultrasound.
        options: how far and from how many starts to look.
    """

    def __init__(self, scene: ViewerScene, options: SearchOptions) -> None:
        self._scene, self._options = scene, options
        self._threads = worker("registration")
        self._running: _Running | None = None

    def refusal(self) -> str | None:
        """Why no registration can begin now, or None."""
        if self._scene.ultrasound is None:
            return "there is no real ultrasound to register: start the viewer with --ultrasound"
        if self._running is not None:
            return "a registration is running already: wait for its end, or cancel it"
        return None

    async def run(self, client: object, number: int, view: View, send: Send) -> None:
        """Register from a view, streaming what happens; ends when the registration does.

        Raises:
            ValueError: when none can begin.
        """
        refusal = self.refusal()
        if refusal is not None:
            raise ValueError(refusal)
        running = self._running = _Running(client, number, asyncio.get_running_loop())
        try:
            work = asyncio.get_running_loop().run_in_executor(self._threads, self._register, view, running)
            streamed = asyncio.create_task(running.stream(send))
            try:
                await send(await work)
            finally:
                streamed.cancel()
        except Cancelled:
            await send({"type": "cancelled", "id": number})
        except ValueError as error:
            await send({"type": "refused", "id": number, "message": str(error)})
        except Exception as error:
            LOG.exception("registration failed")
            await send({"type": "refused", "id": number, "message": f"registration failed: {error}"})
        finally:
            running.cancelled.set()
            self._running = None

    def cancel(self, client: object, number: int | None = None) -> bool:
        """End a client's registration, or that of a number; whether there was one."""
        running = self._running
        if running is None or running.client is not client or number not in (None, running.number):
            return False
        running.cancelled.set()
        return True

    def close(self) -> None:
        """End whatever runs."""
        if self._running is not None:
            self._running.cancelled.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _register(self, view: View, running: _Running) -> dict[str, Any]:
        """The work, in its thread; the message that tells the result."""
        assert self._scene.ultrasound is not None
        at = view.ultrasound_from_probe
        with torch.no_grad():
            given = self._scene.ultrasound.to_register(view.probe, at)
            turned = {name: getattr(view.probe, name) for name in ("frequency_mhz", "focus_mm")}
            result = register_followed(
                given.frame,
                self._scene.medium,
                given.frame.probe.with_options(**turned),
                view.world_from_probe,
                mask=given.mask,
                settings=view.settings,
                options=self._options,
                told=running.told,
            )
        moved = result.world_from_sweep @ pose.inverse(at)
        return _outcome(result, running.number) | {"mri_from_ultrasound": moved.flatten().tolist()}


class _Running:
    """A registration on its way, seen from its thread and from the event loop."""

    def __init__(self, client: object, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self.client, self.number = client, number
        self.cancelled = threading.Event()
        self._loop, self._news = loop, asyncio.Event()
        self._last: Told | None = None

    def told(self, news: Told) -> None:
        """Called in the registration's thread."""
        if self.cancelled.is_set():
            raise Cancelled
        self._last = news
        self._loop.call_soon_threadsafe(self._news.set)

    async def stream(self, send: Send) -> None:
        """Send the newest of what was told, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            assert self._last is not None
            await send(_descent(self._last, self.number))
            await asyncio.sleep(PAUSE_S)


def _descent(told: Told, number: int) -> dict[str, Any]:
    at = None if told.world_from_probe is None else told.world_from_probe.flatten().tolist()
    return {
        "type": "descent",
        "id": number,
        "stage": told.stage,
        "step": told.step,
        "of": told.of,
        "pose": at,
        "score": _finite(told.score),
    }


def _outcome(result: RegistrationResult, number: int) -> dict[str, Any]:
    return {
        "type": "registered",
        "id": number,
        "pose": result.world_from_sweep.flatten().tolist(),
        "verdict": result.verdict,
        "sentence": result.reason,
        "score": _finite(result.score),
        "std_mm": [_finite(value) for value in result.sigma_mm.tolist()],
        "std_deg": [_finite(value) for value in result.sigma_deg.tolist()],
    }


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN."""
    return value if value is not None and math.isfinite(value) else None
