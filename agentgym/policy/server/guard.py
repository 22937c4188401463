"""The ASGI layer that decides who may ask a server at all.

A port of this machine is open to its other users and, by way of a browser, to any web
page. So a request needs the server's key, comes to a name of this machine (a page can
give its own name this machine's address), and from no other page.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentgym.policy.server.openai_http import error_response

MOST_BYTES = 64 * 2**20
"""Of a request's body. A prompt of a million tokens has about five million."""
BODY_SECONDS = 60.0
"""How long a body may take to come."""
_READ_BYTES, _READ_SECONDS = 2**20, 5.0
"""Of the body of a refused request, so that its client reads the answer."""
_OPEN = frozenset({"/health"})
"""Says whether the server is there, which needs no key."""


class Guard:
    """An ASGI application around a server's.

    Args:
        app: The server's.
        key: What its clients must know.
        hosts: Names that it is reached by, besides this machine's and any address.
    """

    def __init__(self, app: ASGIApp, *, key: str, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._key = key.encode()
        names = ("localhost", socket.gethostname(), *hosts)
        self._hosts = {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request, or passes on what is none.

        Args:
            scope: Of the request.
            receive: Gives its body.
            send: Takes the answer.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        begun, body = False, _Body(receive, headers)

        async def answered(message: Message) -> None:
            nonlocal begun
            if not begun and body.more:
                # What is left of the body is not waited for, however much it is.
                MutableHeaders(scope=message)["connection"] = "close"
            begun = True
            await send(message)

        refusal = self._refusal(headers, scope["path"])
        try:
            if refusal is None:
                await self._app(scope, body.receive, answered)
        except HTTPException as error:
            # Of a body that no route knew how to refuse.
            if begun:
                raise
            refusal = error_response(str(error.detail), error.status_code)
        if refusal is not None:
            await body.drain()
            await refusal(scope, receive, answered)

    def _refusal(self, headers: Headers, path: str) -> Response | None:
        """The answer to who may not ask; None to who may."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return error_response(
                f"this server is not {host or 'a host without a name'}: ask it by its "
                "address",
                403,
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return error_response(f"the page {origin} may not ask this server", 403)
        if path not in _OPEN and not self._knows_key(headers):
            return error_response(
                "the API key is wrong", 401, kind="authentication_error"
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MOST_BYTES:
            return error_response(_TOO_LARGE, 413)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._hosts or _is_address(name)

    def _knows_key(self, headers: Headers) -> bool:
        given = (
            headers.get("authorization", "").removeprefix("Bearer "),
            headers.get("x-api-key", ""),
        )
        return any(secrets.compare_digest(self._key, key.encode()) for key in given)


def _is_address(name: str) -> bool:
    """Whether it is no name: a page cannot have an address that is not its own."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


_TOO_LARGE = f"the body has more than {MOST_BYTES // 2**20} MiB: send a shorter prompt"


class _Body:
    """Reads a request's body within limits.

    Args:
        receive: Gives it.
        headers: Say whether there is one.

    Attributes:
        more: Whether there may be more of it.
    """

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._read = 0
        self.more = (
            headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        )
        self._end = asyncio.get_running_loop().time() + BODY_SECONDS

    async def receive(self) -> Message:
        """The next part of the body; behind the last one, whatever comes.

        Raises:
            HTTPException: It is too long, or takes too long.
        """
        if not self.more:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            slow = f"the body did not come within {BODY_SECONDS:g} s"
            raise HTTPException(408, slow) from None
        self._read += len(message.get("body", b""))
        self.more = bool(message.get("more_body", False))
        if self._read > MOST_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        return message

    async def drain(self) -> None:
        """Reads what is left, but not much of it and not for long."""
        self._end = asyncio.get_running_loop().time() + _READ_SECONDS
        most = self._read + _READ_BYTES
        while self.more and self._read < min(most, MOST_BYTES):
            try:
                await self.receive()
            except HTTPException:
                return
