"""The server: bound to this machine alone, with a token that only the printed address holds."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from diffus.checks import require_one_of
from diffus.extras import require_extra
from diffus.registration.options import SearchOptions
from diffus.viewer.scene import ViewerScene

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORT = 8737
_PORTS_TRIED = 100
_START_S = 30.0
_CLOSE_S = 3.0
_MOST_SOCKET_BYTES = 256 * 1024
"""Beyond what is read of a message, and refused in words, the connection is closed."""
DEFAULT_OPTIONS = SearchOptions()


class ViewerServer:
    """Shows a scene to browsers on this machine.

    Either ``run``, until it is interrupted, or as a context in which it runs in a thread of its own.

    Args:
        scene: what is shown.
        out: folder that the page may save to; nothing else is written.
        host: a name of this machine's loopback address.
        port: to listen at; 0 for any that is free.
        token: that the address carries; by default a random one.
        options: of registrations.

    Raises:
        ValueError: for a host that others could reach, a port that is taken, or a missing extra.
    """

    def __init__(
        self,
        scene: ViewerScene,
        out: Path | str = "out/view",
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        token: str | None = None,
        options: SearchOptions = DEFAULT_OPTIONS,
    ) -> None:
        require_view_extra()
        import uvicorn

        from diffus.viewer.app import ViewerApp
        from diffus.viewer.guard import Guard

        self._socket = listening(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.token = token or secrets.token_urlsafe(32)
        self._host = f"[{host}]" if ":" in host else host
        hosts = [f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")]
        app = ViewerApp(scene, Path(out), options).starlette()
        guarded = Guard(app, self.token, hosts, f"diffus_token_{self.port}")
        config = uvicorn.Config(
            guarded,
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            ws_max_size=_MOST_SOCKET_BYTES,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=int(_CLOSE_S),
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address to open, with its token."""
        return f"http://{self._host}:{self.port}/?token={self.token}"

    def run(self) -> None:
        """Serve until interrupted (Ctrl-C)."""
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:
            return
        finally:
            self._socket.close()

    def __enter__(self) -> ViewerServer:
        self._thread = threading.Thread(target=self.run, name="viewer", daemon=True)
        self._thread.start()
        end = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise RuntimeError("the viewer's server did not start; see the log for why")
            time.sleep(0.01)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        assert self._thread is not None
        self._thread.join(_START_S)


def require_view_extra() -> None:
    """Refuse, naming the extra, where the server's libraries are missing.

    Raises:
        ValueError: when one is.
    """
    for module in ("starlette", "uvicorn", "websockets"):
        require_extra(module, "view", "the live viewer")


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to a port of the loopback address.

    Raises:
        ValueError: for another host, a port there is not, or one that is taken, naming the next free one.
    """
    require_one_of("host (the viewer is for this machine alone)", host, LOOPBACK)
    if not 0 <= port <= 65535:
        raise ValueError(f"port must lie in [0, 65535], got {port}; 0 takes any that is free")
    try:
        return _bound(host, port)
    except OSError as error:
        free = _next_free(host, port)
        offer = "--port 0 takes any that is free" if free is None else f"port {free} is free: --port {free}"
        raise ValueError(f"cannot listen at port {port} ({error.strerror or error}): {offer}") from error


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(128)
    except OSError:
        made.close()
        raise
    return made


def _next_free(host: str, port: int) -> int | None:
    for candidate in range(port + 1, min(port + 1 + _PORTS_TRIED, 65536)):
        try:
            _bound(host, candidate).close()
        except OSError:
            continue
        return candidate
    return None
