"""An application on a socket: time-outs for slow clients, and an end that answers first.

uvicorn times nothing but idle connections, so the time in which a request's head must arrive, and
in which a response must be read, is watched here.
"""

import asyncio
import functools
import socket
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rectloc_tf.errors import ConfigError, reason

MAX_CONNECTIONS = 256
KEEP_ALIVE = 15  # seconds in which an idle connection may send its next request


class TimedProtocol(H11Protocol):
    """uvicorn's protocol that drops clients which send a head, or read a response, too slowly."""

    def __init__(self, seconds: float, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._seconds = seconds
        self._sending: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for the first request."""
        super().connection_made(transport)
        self._sending = self.loop.call_later(self._seconds, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Waits as long as the head of a request is not complete."""
        super().data_received(data)
        # For a head, or for the rest of a body that was refused.
        is_waiting = self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE
        if is_waiting and self._sending is None:
            self._sending = self.loop.call_later(self._seconds, self.transport.abort)
        elif not is_waiting:
            self._sending = _cancelled(self._sending)

    def pause_writing(self) -> None:
        """Starts to wait for the client to read."""
        super().pause_writing()
        self._reading = self.loop.call_later(self._seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        self._reading = _cancelled(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        self._sending, self._reading = _cancelled(self._sending), _cancelled(self._reading)
        super().connection_lost(exc)


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: name or address; port: 0 for any that is free.

    Raises:
        ConfigError: if the address or port cannot be used.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host={host}: no such address ({reason(error)})") from error
    listening = socket.socket(family, kind, number)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(MAX_CONNECTIONS)
    except OSError as error:
        listening.close()
        message = f"--port={port}: cannot be used on {host} ({reason(error)}); choose another"
        raise ConfigError(message) from error
    return listening


def url(listening: socket.socket) -> str:
    """Where a browser finds it."""
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def make_server(app: Any, seconds: float) -> uvicorn.Server:
    """A server; `run(sockets=[...])` serves until a signal, then answers what it has begun.

    Args:
        app: an ASGI application.
        seconds: in which a request's head must arrive, and a response must be read.
    """
    config = uvicorn.Config(
        app,
        http=functools.partial(TimedProtocol, seconds),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(seconds) + 1,
    )
    return uvicorn.Server(config)
