"""Who is let in: pages that this server gave out, on this machine, with the token that was printed.

A page from elsewhere that is open in the same browser can send requests to the loopback address, and by DNS
rebinding under a name of its own. So the Host must be the address that was printed, the Origin, where a
browser sends one, too, and every request needs the token, which no other page can know.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from diffus.viewer.rates import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUESTS_PER_SECOND, REQUESTS_AT_ONCE = 50.0, 200.0
_REFUSED_SOCKET = 1008
"""Close code for a policy that was violated (RFC 6455)."""
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "connect-src 'self' data: blob: {sockets}",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class Guard:
    """Refuses whatever does not come from a page of this server, and says what its own pages may do.

    Args:
        app: what is guarded.
        token: that requests must carry, in the query or in the cookie.
        hosts: as Host headers name this server, with the port.
        cookie: name of the cookie.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str], cookie: str) -> None:
        self._app, self._token, self._hosts, self._cookie = app, token, frozenset(hosts), cookie
        self._bucket = TokenBucket(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE)
        # A policy knows no IPv6 addresses; 'self' is enough in the browsers that follow the standard.
        sockets = " ".join(sorted(f"ws://{host}" for host in self._hosts if "[" not in host))
        self._policy = _POLICY.format(sockets=sockets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            status, message = refusal
            await self._refuse(scope, receive, send, status, message)
            return
        await self._app(scope, receive, send if scope["type"] == "websocket" else self._hardened(send, scope))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            return 403, f"this server is not {host or 'that'}: open the address that was printed"
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            return 403, f"pages of {origin} may not use this viewer"
        if not (self._fits(_query_token(scope)) or self._fits(self._cookie_token(headers))):
            return 403, "the token is missing or wrong: open the address that was printed, with its token"
        if scope["type"] == "http" and not self._bucket.try_take():
            return 429, "too many requests: wait a moment"
        return None

    def _fits(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())

    def _cookie_token(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found else ""

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, status: int, message: str) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose(_REFUSED_SOCKET, message)(scope, receive, send)
            return
        response = JSONResponse({"message": message}, status)
        await response(scope, receive, self._hardened(send, None))

    def _hardened(self, send: Send, scope: Scope | None) -> Send:
        """Add what a browser must know; on the page that the printed address opens, the cookie too."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["Cache-Control"] = "no-store"
                if scope is not None and scope["path"] == "/":
                    cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                    headers["Set-Cookie"] = cookie
            await send(message)

        return sent


def _query_token(scope: Scope) -> str:
    values = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
    return values[0]
