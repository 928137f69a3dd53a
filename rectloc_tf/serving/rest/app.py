"""Requests to responses: TensorFlow Serving's REST API below /v1, the page and what it asks.

    GET  /                  the page
    GET  /page/models       what it shows
    POST /page/models/NAME  a picture's bytes -> its points, as `predict` answers them
    GET  /page/scenes?domain=3&start=0&count=1

An ASGI application, without a framework: there are no more paths than these.
"""

import asyncio
import base64
import contextlib
import hashlib
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, unquote

import numpy as np

from rectloc_tf.serving.rest import protocol
from rectloc_tf.serving.rest.batching import Answered, Batcher
from rectloc_tf.serving.rest.callers import Hosts, check_caller
from rectloc_tf.serving.rest.pictures import fits
from rectloc_tf.serving.rest.values import ServingError, dump

_PAGE_MODEL = re.compile(r"/page/models/([^/]+)")
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
TOO_SLOW, TOO_LARGE, LATE = 408, 413, 504


@dataclass(frozen=True)
class Limits:
    """What a client may ask for.

    Attributes:
        body: bytes of a request.
        bodies: bytes of all requests that are being read or answered.
        seconds: time limit for receiving a request, and again for the response.
    """

    body: int = 16 * 2**20
    bodies: int = 256 * 2**20
    seconds: float = 30.0


@dataclass(frozen=True)
class Stage:
    """What the page draws scenes like.

    Attributes:
        about: `size` of the image, `solid` (rectangles are filled) and `domain`, how many at first.
        scenes: domain, start and count -> random scenes, for JSON; see `scenes.pick_scenes`.
    """

    about: Mapping[str, Any]
    scenes: Callable[[int, int, int], dict[str, Any]]


@dataclass(frozen=True)
class Response:
    """What is sent back; `headers` beside the two that every response has."""

    body: bytes
    status: int = 200
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class App:
    """The application; `networks` are `networks.Network`s or look like them."""

    def __init__(
        self,
        networks: Mapping[str, Any],
        stage: Stage,
        workers: tuple[Executor, Executor],
        limits: Limits | None = None,
        hosts: Hosts | None = None,
    ):
        """Makes one.

        Args:
            networks: by name.
            stage: where the page shows scenes.
            workers: one thread that computes, and one or more that read and write JSON.
            limits: what a client may ask for.
            hosts: what this server is called; as on a loopback address if left out.
        """
        self._networks, self._stage = networks, stage
        self._computing, self._parsing = workers
        self._limits = limits or Limits()
        self._hosts = hosts or Hosts()
        self._held = 0  # bytes of bodies
        self._page = page_response()
        self._batchers = {
            (name, key): Batcher(endpoint.answer, self._computing)
            for name, network in networks.items()
            for key, endpoint in network.endpoints.items()
        }

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Answers one request, whatever happens."""
        try:
            response = await self._respond(scope, receive)
        except ServingError as error:
            # Of a slow client no more is read.
            headers = (("connection", "close"),) if error.status == TOO_SLOW else ()
            response = Response(dump({"error": str(error)}), error.status, headers=headers)
        except ConnectionError:
            return  # the client went away
        except Exception as error:  # a mistake of ours, or memory: the server must go on
            sys.stderr.write(f"error: {scope['path']!r}: {type(error).__name__}: {error}\n")
            response = Response(dump({"error": "Internal error"}), 500)
        headers = [("content-type", response.kind), ("content-length", str(len(response.body)))]
        headers += [("x-content-type-options", "nosniff"), *response.headers]
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": response.status, "headers": encoded})
        await send({"type": "http.response.body", "body": response.body})

    async def _respond(self, scope: Mapping[str, Any], receive: Any) -> Response:
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        check_caller(scope["headers"], self._hosts, is_page=path == "/")
        if path in ("/v1", "/v1/models") or path.lower().startswith("/v1/"):
            return await self._serve(method, path, scope, receive)
        if path == "/" and method in ("GET", "HEAD"):
            return self._page
        if path == "/page/models" and method == "GET":
            about = [network.about for network in self._networks.values()]
            return Response(dump({"models": about, "stage": self._stage.about}))
        if path == "/page/scenes" and method == "GET":
            asked = _numbers(scope["query_string"].decode("latin-1"))
            run = asyncio.get_running_loop().run_in_executor
            return Response(dump(await run(self._computing, self._stage.scenes, *asked)))
        if (found := _PAGE_MODEL.fullmatch(path)) and method == "POST":
            return await self._answer_picture(unquote(found[1]), scope, receive)
        raise ServingError(f"Malformed request: {method} {path}", protocol.NOT_FOUND)

    async def _serve(self, method: str, path: str, scope: Any, receive: Any) -> Response:
        target = protocol.parse_path(method, path)
        if target.verb in ("status", "metadata"):
            protocol.check_served(target, self._networks)
            signatures = self._networks[target.name].signatures
            about = protocol.metadata(target.name, signatures)
            return Response(dump(about if target.verb == "metadata" else protocol.status()))
        async with self._body(scope, receive) as body:
            protocol.check_served(target, self._networks)
            protocol.check_verb(target)
            network = self._networks[target.name]
            run = asyncio.get_running_loop().run_in_executor
            async with self._deadline():
                asked = await run(self._parsing, protocol.parse_predict, body, network.signatures)
                (array,) = asked.inputs.values()
                if not fits(array, network.signatures[asked.signature].outputs):
                    message = "the response would be too large; send fewer images"
                    raise ServingError(message, TOO_LARGE)
                answered = await self._compute(network, asked.signature, array)
                make = protocol.predict_response
                return Response(await run(self._parsing, make, answered.outputs, asked.is_row))

    async def _answer_picture(self, name: str, scope: Any, receive: Any) -> Response:
        if name not in self._networks:
            raise ServingError(f"no model {name}", protocol.NOT_FOUND)
        network = self._networks[name]
        async with self._body(scope, receive) as body:
            file = np.empty(1, object)
            file[0] = body
            async with self._deadline():
                answered = await self._compute(network, "encoded", file)
        answer = network.picture(answered.outputs)
        return Response(dump({**answer, "ms": round(1000 * answered.seconds, 2)}))

    async def _compute(self, network: Any, signature: str, array: np.ndarray) -> Answered:
        run = asyncio.get_running_loop().run_in_executor
        pixels = await run(self._parsing, network.endpoints[signature].check, array)
        return await self._batchers[network.name, signature](array, pixels)

    @contextlib.asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        """What reads, computes and writes a response: too late is an error of its own."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                yield
        except TimeoutError as error:
            raise ServingError("Deadline exceeded", LATE) from error

    def _body(self, scope: Mapping[str, Any], receive: Any) -> "_Body":
        return _Body(self, self._limits, scope, receive)

    def hold(self, size: int) -> None:
        """Counts bytes of bodies that are held, or let go (negative)."""
        if self._held + size > self._limits.bodies:
            raise ServingError("too many requests at once", 503)
        self._held += size


class _Body:
    """The body of a request, which counts as held until the block ends."""

    def __init__(self, app: App, limits: Limits, scope: Mapping[str, Any], receive: Any):
        self._app, self._limits, self._scope, self._receive = app, limits, scope, receive
        self._held = 0

    async def __aenter__(self) -> bytes:
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._read()
        except TimeoutError as error:
            self._let_go()
            raise ServingError("the request took too long to arrive", TOO_SLOW) from error
        except BaseException:
            self._let_go()
            raise

    async def __aexit__(self, *error: object) -> None:
        self._let_go()

    def _let_go(self) -> None:
        self._app.hold(-self._held)
        self._held = 0

    async def _read(self) -> bytes:
        length = dict(self._scope["headers"]).get(b"content-length", b"0")
        self._check(int(length))
        parts, more = [], True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            part, more = message.get("body", b""), message.get("more_body", False)
            self._check(self._held + len(part))
            self._app.hold(len(part))
            self._held += len(part)
            parts.append(part)
        return b"".join(parts)

    def _check(self, size: int) -> None:
        if size > self._limits.body:
            message = f"the request has over {self._limits.body:,} bytes"
            raise ServingError(message, TOO_LARGE)


def _numbers(query: str) -> tuple[int, int, int]:
    """`domain`, `start` and `count` of a query."""
    try:
        given = {name: values[-1] for name, values in parse_qs(query, max_num_fields=10).items()}
    except ValueError as error:
        raise ServingError("too many parameters") from error
    found = []
    for name, default in (("domain", "1"), ("start", "0"), ("count", "1")):
        text = given.get(name, default)
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise ServingError(f"{name}={text[:20]}: must be a whole number")
        found.append(int(text))
    return tuple(found)


def page_response() -> Response:
    """The page, with a policy that lets it run its own script and talk to this server alone."""
    page = (
        resources.files("rectloc_tf.serving.rest").joinpath("page.html").read_text(encoding="utf-8")
    )
    hashes: dict[str, str] = {}
    for kind, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        hashes[kind] = f"'sha256-{digest}'"
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    headers = (
        ("content-security-policy", policy),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
    )
    return Response(page.encode(), kind="text/html; charset=utf-8", headers=headers)
