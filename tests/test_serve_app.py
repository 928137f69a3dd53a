"""The server without TensorFlow: bad requests, slow clients, batches, the end."""

import asyncio
import contextlib
import http.client
import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from rectloc_tf.errors import ConfigError
from rectloc_tf.serving.rest import batching, protocol, server
from rectloc_tf.serving.rest.app import App, Limits, Stage, page_response
from rectloc_tf.serving.rest.batching import Batcher
from rectloc_tf.serving.rest.callers import check_caller, make_hosts
from rectloc_tf.serving.rest.protocol import Signature, TensorInfo
from rectloc_tf.serving.rest.values import ServingError
from tests.forks import HANGS


def half_plus_three(name="half", answer=lambda x: {"y": x / 2 + 3}):
    """TensorFlow Serving's example; its pictures are answered by their first byte."""
    infos = {"x": TensorInfo("float", (-1,))}, {"y": TensorInfo("float", (-1,))}
    plain = SimpleNamespace(
        signature=Signature(*infos), check=lambda x: [1] * len(x), answer=answer
    )
    encoded = SimpleNamespace(
        signature=Signature({"image_bytes": TensorInfo("string", (-1,))}),
        check=lambda files: [1] * len(files),
        answer=lambda files: {"y": np.array([data[0] for data in files])},
    )
    endpoints = {"serving_default": plain, "encoded": encoded}
    return SimpleNamespace(
        name=name,
        endpoints=endpoints,
        signatures={key: endpoint.signature for key, endpoint in endpoints.items()},
        about={"name": name},
        picture=lambda outputs: {"points": [[int(outputs["y"][0]), 0]]},
    )


def no_scenes(domain, start, count):
    if domain > 20:
        raise ServingError(f"domain={domain}: must be 1 to 20")
    return {"scenes": [[domain, start, count]]}


@contextlib.contextmanager
def serving(network, limits=None, seconds=HANGS):
    """A server in a thread; yields its port and the server."""
    stage = Stage({"size": 64}, no_scenes)
    with (
        ThreadPoolExecutor(1) as computing,
        ThreadPoolExecutor(1) as parsing,
        server.bind("127.0.0.1", 0) as listening,
    ):
        app = App({network.name: network}, stage, (computing, parsing), limits=limits)
        running = server.make_server(app, seconds)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1], running
        finally:
            running.should_exit = True
            thread.join(HANGS)


@pytest.fixture(scope="module")
def port():
    with serving(half_plus_three(), Limits(body=100_000)) as (port, _):
        yield port


def ask(port, method, path, body=None, headers=None):
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANGS)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def ask_json(port, method, path, body=None):
    status, headers, data = ask(port, method, path, body)
    assert headers["content-type"] == "application/json"
    return status, json.loads(data)


# TensorFlow Serving's documented session.


def test_the_documented_session(port):
    state = {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert ask_json(port, "GET", "/v1/models/half") == (200, {"model_version_status": [state]})
    body = '{"instances": [1.0,2.0,5.0]}'
    predictions = {"predictions": [3.5, 4.0, 5.5]}
    assert ask_json(port, "POST", "/v1/models/half:predict", body) == (200, predictions)
    assert ask_json(port, "POST", "/v1/models/half/versions/1:predict", body) == (200, predictions)
    error = {"error": "Servable not found for request: Latest(other)"}
    assert ask_json(port, "POST", "/v1/models/other:predict", body) == (404, error)
    error = {"error": "Could not find version 2 of model half"}
    assert ask_json(port, "GET", "/v1/models/half/versions/2") == (404, error)
    status, about = ask_json(port, "GET", "/v1/models/half/metadata")
    assert (status, about["model_spec"]["name"]) == (200, "half")


def test_no_instances_are_answered_with_none(port):
    assert ask_json(port, "POST", "/v1/models/half:predict", '{"inputs": []}') == (
        200,
        {"outputs": []},
    )


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_a_response_that_would_be_too_large_is_refused_before_it_is_computed(key):
    network, asked = half_plus_three(answer=lambda x: asked.append(len(x)) or {"y": x}), []
    network.signatures["serving_default"].outputs["y"] = TensorInfo("float", (-1, 4000, 2000))
    with serving(network) as (port, _):
        for count, status in ((2, 200), (3, 413)):
            body = json.dumps({key: [1.0] * count})
            found, answer = ask_json(port, "POST", "/v1/models/half:predict", body)
            assert found == status
        assert answer == {"error": "the response would be too large; send fewer images"}
        assert asked == [2]


# What clients may get wrong.

BAD = [
    ("POST", "/v1/models/half:predict", b"", 400),
    ("POST", "/v1/models/half:predict", b"{", 400),
    ("POST", "/v1/models/half:predict", b"\xff\xfe", 400),
    ("POST", "/v1/models/half:predict", b'{"instances": ["a"]}', 400),
    ("POST", "/v1/models/half:predict", b'{"instances": ' + b"[" * 90_000, 400),
    ("POST", "/v1/models/half:predict", b'{"instances": ' + b"9" * 90_000 + b"}", 400),
    ("POST", "/v1/models/half:predict", b'{"signature_name": "\\ud800"}', 400),
    ("POST", "/v1/models/half:predict", b'{"x": 1, "inputs": {"\\u0000": 1}}', 400),
    ("POST", "/v1/models/half:predict", b"x" * 100_001, 413),
    ("POST", "/v1/models/half:classify", b"{}", 400),
    ("POST", "/v1/models/half:regress", b"{}", 400),
    ("POST", "/v1/models/none:predict", b"{}", 404),
    ("POST", "/v1/models/half/versions/9:predict", b"{}", 404),
    ("POST", "/v1/models/half/labels/stable:predict", b"{}", 400),
    ("POST", "/v1/models/..%2f..%2fetc%2fpasswd:predict", b"{}", 404),
    ("GET", "/v1/models/half:predict", None, 400),
    ("GET", "/v1/models", None, 400),
    ("GET", "/v1/models/none", None, 404),
    ("PUT", "/v1/models/half", b"", 400),
    ("GET", "/../../etc/passwd", None, 404),
    ("GET", "/page.html", None, 404),
    ("POST", "/", b"", 404),
    ("GET", "/page/scenes?domain=21", None, 400),
    ("GET", "/page/scenes?domain=-1", None, 400),
    ("GET", "/page/scenes?count=1&count=1e9", None, 400),
    ("POST", "/page/models/none", b"x", 404),
    ("POST", "/page/models/half", b"", 500),  # what the network itself stumbles over
]


def test_a_hundred_bad_requests_do_no_harm(port, capfd):
    for number in range(100):
        method, path, body, expected = BAD[number % len(BAD)]
        status, answer = ask_json(port, method, path, body)
        assert (status, [*answer]) == (expected, ["error"]), (method, path)
    good = ask_json(port, "POST", "/v1/models/half:predict", '{"instances": [1.0]}')
    assert good == (200, {"predictions": [3.5]})
    lines = capfd.readouterr().err.splitlines()
    assert {*lines} == {"error: '/page/models/half': IndexError: index out of range"}


def test_too_many_parameters_are_named(port):
    found = ask_json(port, "GET", "/page/scenes?" + "&".join(["count=1"] * 11))
    assert found == (400, {"error": "too many parameters"})
    assert ask_json(port, "GET", "/page/scenes?" + "&".join(["count=1"] * 10))[0] == 200


def talk(port, data):
    """What comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), HANGS) as connection:
        connection.sendall(data)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"GET  /  HTTP/1.1\r\nHost x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # without a host
    ],
)
def test_what_is_not_http_is_refused(port, data):
    assert talk(port, data).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert ask(port, "GET", "/")[0] == 200


def test_an_endless_head_ends_the_connection(port):
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000
        assert talk(port, head).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert ask(port, "GET", "/")[0] == 200


def test_a_long_body_is_refused_before_it_is_sent(port):
    head = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    answer = talk(port, head + b"Content-Length: 99999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b'{"error": "the request has over 100,000 bytes"}')
    chunk = b"186A1\r\n" + b"x" * 100_001 + b"\r\n0\r\n\r\n"
    assert talk(port, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk).startswith(
        b"HTTP/1.1 413 "
    )


def test_bodies_together_are_limited():
    network = half_plus_three()
    body = '{"instances": [1.0]}'
    with serving(network, Limits(bodies=len(body))) as (port, _):
        assert ask(port, "POST", "/v1/models/half:predict", body)[0] == 200
        assert ask(port, "POST", "/v1/models/half:predict", body + " ")[0] == 503
        assert ask(port, "POST", "/v1/models/half:predict", body)[0] == 200


HEAD = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n"
# What slow clients have sent so far: nothing, a part of a head, a head and a part of a body.
STARTS = (b"", b"GET / HT", HEAD, HEAD + b"\r\n", HEAD + b'\r\n{"instances": ')


@contextlib.contextmanager
def slow_clients(port, count):
    """Connections of clients that have begun and do not go on."""
    with contextlib.ExitStack() as stack:
        slow = []
        for number in range(count):
            connection = socket.create_connection(("127.0.0.1", port), HANGS)
            slow.append(stack.enter_context(connection))
            with contextlib.suppress(ConnectionError):  # dropped already
                connection.sendall(STARTS[number % len(STARTS)])
        yield slow


def test_images_are_looked_at_beside_the_loop_that_answers_others():
    network, threads = half_plus_three(), []

    def check(array):
        threads.append(threading.current_thread().name)
        return [1] * len(array)

    for endpoint in network.endpoints.values():
        endpoint.check = check
    with serving(network) as (port, _):
        assert ask(port, "POST", "/v1/models/half:predict", '{"instances": [1.0]}')[0] == 200
        assert ask(port, "POST", "/page/models/half", b"A")[0] == 200
    assert [name.startswith("ThreadPoolExecutor") for name in threads] == [True, True]


def test_others_are_answered_while_a_hundred_slow_clients_are_waited_for():
    with serving(half_plus_three()) as (port, _), slow_clients(port, 100):
        for _ in range(3):
            good = ask_json(port, "POST", "/v1/models/half:predict", '{"instances": [1.0]}')
            assert good == (200, {"predictions": [3.5]})


def test_slow_clients_are_dropped():
    """Reading ends only because the server closes the connection."""
    with (
        serving(half_plus_three(), Limits(seconds=0.1), seconds=0.1) as (port, _),
        slow_clients(port, 10) as slow,
    ):
        for number, connection in enumerate(slow):
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    answer += part
            told = answer.endswith(b'{"error": "the request took too long to arrive"}')
            assert told or not answer
            assert not (told and number % len(STARTS) < 3)  # nobody to tell


def test_a_body_that_does_not_arrive_is_answered_with_408():
    sent = []

    async def wait():
        await asyncio.sleep(HANGS)

    async def send(message):
        sent.append(message)

    path = b"/v1/models/half:predict"
    scope = {"method": "POST", "raw_path": path, "path": path.decode(), "headers": []}
    with ThreadPoolExecutor(1) as pool:
        networks = {"half": half_plus_three()}
        stage = Stage({}, no_scenes)
        app = App(networks, stage, (pool, pool), limits=Limits(seconds=0.01))
        asyncio.run(app(scope, wait, send))
    start, body = sent
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert body["body"] == b'{"error": "the request took too long to arrive"}'


def test_an_answer_that_takes_too_long_is_given_up():
    go_on = threading.Event()

    def answer(x):
        if x[0] == 0:
            go_on.wait(HANGS)
        return {"y": x}

    with serving(half_plus_three(answer=answer), Limits(seconds=0.2)) as (port, _):
        late = ask_json(port, "POST", "/v1/models/half:predict", '{"instances": [0.0]}')
        assert late == (504, {"error": "Deadline exceeded"})
        go_on.set()
        good = ask_json(port, "POST", "/v1/models/half:predict", '{"instances": [1.0]}')
        assert good == (200, {"predictions": [1.0]})


def test_a_stopping_server_answers_what_it_has_begun():
    """`100 Continue` says that the request has begun; its body comes after the signal."""
    body = b'{"instances": [1.0]}'
    head = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    with serving(half_plus_three()) as (port, running):
        with socket.create_connection(("127.0.0.1", port), HANGS) as connection:
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
            assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
            running.should_exit = True
            connection.sendall(body)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b'{"predictions": [3.5]}')


def test_an_address_that_cannot_be_had_is_named():
    with server.bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^--port={port}: cannot be used on 127.0.0.1 "):
            server.bind("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"^--host=no\.host\.invalid: no such address "):
        server.bind("no.host.invalid", 0)


# Batches.


def batches_of(requests, answer, pixels=None, **limits):
    """Answers of requests that all come while the network is busy with another one."""
    called = []
    first = threading.Event()

    def network(array):
        if not called:
            first.wait(HANGS)
        called.append(len(array))
        return answer(array)

    async def run(executor):
        batcher = Batcher(network, executor)
        busy = asyncio.create_task(batcher(np.zeros(1), [1]))
        await asyncio.sleep(0)
        pixels_of = pixels or [[1] * len(request) for request in requests]
        tasks = [
            asyncio.create_task(batcher(request, size))
            for request, size in zip(requests, pixels_of, strict=True)
        ]
        await asyncio.sleep(0)
        first.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await busy
        return answers

    with ThreadPoolExecutor(1) as executor:
        return asyncio.run(run(executor)), called[1:]


def double(array):
    return {"y": 2 * array}


def test_requests_that_wait_are_answered_together():
    requests = [np.arange(n, n + 3, dtype=float) for n in range(5)]
    answers, called = batches_of(requests, double)
    assert called == [15]
    for request, answered in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answered.outputs["y"], 2 * request)


def test_batches_are_of_one_shape_and_not_too_large():
    requests = [np.zeros([20, 2]), np.zeros([20, 3]), np.zeros([12, 2]), np.zeros([1, 2])]
    assert batches_of(requests, double)[1] == [32, 20, 1]
    large = batching.MAX_PIXELS
    one = [np.zeros(1)] * 4
    assert batches_of(one, double, [[large], [large + 1], [large // 2], [large // 2]])[1] == [
        1,
        1,
        2,
    ]


def test_a_long_request_is_cut_into_batches():
    (answered,), called = batches_of([np.arange(70.0)], double)
    assert called == [32, 32, 6]
    np.testing.assert_array_equal(answered.outputs["y"], 2 * np.arange(70.0))


def test_only_the_request_at_fault_fails():
    def answer(array):
        if (array == 13).any():
            raise ServingError("unlucky")
        return double(array)

    requests = [np.array([float(n)]) for n in (1, 13, 2)]
    answers, called = batches_of(requests, answer)
    assert called == [3, 1, 1, 1]
    assert str(answers[1]) == "unlucky"
    assert [answers[n].outputs["y"].tolist() for n in (0, 2)] == [[2.0], [4.0]]


def test_nothing_more_is_computed_for_a_request_that_has_failed():
    def answer(array):
        if (array == 13).any():
            raise ServingError("unlucky")
        return double(array)

    requests = [np.array([13.0, *range(100, 180)]), np.array([2.0])]
    answers, called = batches_of(requests, answer)
    assert str(answers[0]) == "unlucky"
    assert answers[1].outputs["y"].tolist() == [4.0]
    assert called == [32, 32, 1]  # the second part had been begun, the third is left out


def test_too_much_that_waits_is_refused(monkeypatch):
    monkeypatch.setattr(batching, "MAX_WAITING_BYTES", 32)
    requests = [np.zeros(2), np.zeros(2), np.zeros(1)]  # 16 bytes each, after 8 that are busy
    answers, called = batches_of(requests, double)
    assert called == [3]
    assert (answers[1].status, "full" in str(answers[1])) == (503, True)


# The page.


def test_the_page_may_run_its_own_script_alone(port):
    status, headers, body = ask(port, "GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = headers["content-security-policy"]
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-[\w+/=]{44}'; style-src 'sha256-[\w+/=]{44}'; "
        r"img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        r"frame-ancestors 'none'",
        policy,
    )
    text = body.decode()
    assert (text.count("<script"), text.count("<style"), text.count("style=")) == (1, 1, 0)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(|innerHTML|eval\(", text)
    assert body == page_response().body
    assert "access-control-allow-origin" not in headers
    assert ask(port, "HEAD", "/")[2] == b""


def test_pages_of_other_sites_may_link_to_the_page_and_ask_nothing(port):
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert ask(port, "GET", "/", headers=headers)[0] == 200
    body = '{"instances": [1.0]}'
    assert ask(port, "POST", "/v1/models/half:predict", body, headers)[0] == 403
    assert ask(port, "POST", "/v1/models/half:predict", body)[0] == 200


REBOUND = "use localhost or its address, or start it with --allowed_hosts"
ANOTHER = "cross-site request refused"


@pytest.mark.parametrize("path", ["/", "/page/models", "/v1/models/half"])
def test_a_name_that_leads_here_by_dns_is_refused(port, path):
    for name in (f"localhost:{port}", "LOCALHOST", "127.0.0.1:1", "[::1]", f"[::1]:{port}"):
        assert ask(port, "GET", path, headers={"Host": name})[0] == 200
    for name in (
        "evil.example",
        f"localhost.evil.example:{port}",
        "192.168.1.5",
        "x@localhost",
        "",
    ):
        status, headers, body = ask(port, "GET", path, headers={"Host": name})
        message = f"Host {name} is not a name of this server; {REBOUND}"
        assert (status, json.loads(body)) == (403, {"error": message})
        assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:{port}", 200),  # the page's own
        ("http://localhost:3000", 403),
        ("http://evil.example", 403),
        ("https://evil.example:{port}", 403),
        ("null", 403),  # a file, or a frame that is locked in
        ("localhost:{port}", 403),
    ],
)
def test_a_page_of_another_origin_asks_nothing(port, origin, status):
    origin = origin.format(port=port)
    headers = {"Host": f"localhost:{port}", "Origin": origin}
    for path, body in (
        ("/v1/models/half:predict", '{"instances": [1.0]}'),
        ("/page/models/half", "A"),
    ):
        found, _, answer = ask(port, "POST", path, body, headers)
        assert found == status
        assert status == 200 or json.loads(answer) == {"error": ANOTHER}


def allows(hosts, host, origin=None):
    """Whether a request with these headers is let in."""
    given = {b"host": host, b"origin": origin}
    headers = [(name, value.encode()) for name, value in given.items() if value is not None]
    try:
        check_caller(headers, hosts)
    except ServingError as error:
        return error.status != 403
    return True


def test_elsewhere_than_on_loopback_addresses_and_named_hosts_are_allowed():
    hosts = make_hosts("0.0.0.0", "0.0.0.0", ["GPU.example", "fe80::1"])
    assert all(allows(hosts, host) for host in ("10.0.0.7:8501", "[2001:db8::1]:80", "localhost"))
    assert all(allows(hosts, host) for host in ("gpu.example", "GPU.example:8501", "[fe80::1]"))
    assert not any(allows(hosts, host) for host in ("evil.example", "gpu.example.evil", "1.2.3"))
    assert allows(hosts, "10.0.0.7:8501", "http://10.0.0.7:8501")
    assert not allows(hosts, "10.0.0.7:8501", "http://10.0.0.7:3000")
    # Behind a proxy, which says another Host than the browser.
    assert allows(hosts, "127.0.0.1:8501", "https://gpu.example")
    assert not allows(hosts, "127.0.0.1:8501", "https://evil.example")
    assert allows(make_hosts("10.0.0.7", "here.example", []), "here.example:8501")
    assert allows(make_hosts("127.0.0.2", "127.0.0.2", []), "127.0.0.2:8501")
    assert not allows(make_hosts("::1", "::1", []), "10.0.0.7")
    assert allows(hosts, None)  # no browser


@pytest.mark.parametrize("name", ["a:80", "http://a", "a b", ""])
def test_an_allowed_host_that_is_no_name_is_refused(name):
    with pytest.raises(
        ConfigError, match=f"^--allowed_hosts={name}: must be hosts as in http://HOST"
    ):
        make_hosts("127.0.0.1", "localhost", [name])


def test_a_request_that_takes_too_long_to_read_is_late(monkeypatch):
    waits, parse = threading.Event(), protocol.parse_predict

    def slow(*about):
        waits.wait(HANGS)
        return parse(*about)

    with serving(half_plus_three(), Limits(seconds=0.2)) as (port, _):
        monkeypatch.setattr(protocol, "parse_predict", slow)
        body = json.dumps({"instances": [1]})
        found = ask_json(port, "POST", "/v1/models/half:predict", body)
        assert found == (504, {"error": "Deadline exceeded"})
        waits.set()
        assert ask_json(port, "POST", "/v1/models/half:predict", body)[0] == 200


def test_what_the_page_asks(port):
    about = {"models": [{"name": "half"}], "stage": {"size": 64}}
    assert ask_json(port, "GET", "/page/models") == (200, about)
    assert ask_json(port, "GET", "/page/scenes?domain=3&start=7&count=2") == (
        200,
        {"scenes": [[3, 7, 2]]},
    )
    status, answer = ask_json(port, "POST", "/page/models/half", b"A")
    assert (status, answer["points"]) == (200, [[65, 0]])
    assert answer["ms"] >= 0
