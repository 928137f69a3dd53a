"""Requests a second that a running `serve` answers: one by one, and from many clients at once.

    python benchmarks/rest_load.py http://127.0.0.1:8501/ NAME

The two take turns; each request is a picture of noise of its own, of the network's working size.
"""

import base64
import http.client
import json
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from urllib.parse import quote, urlsplit

import cv2
import numpy as np

CLIENTS, REQUESTS, ROUNDS = 20, 400, 5


def request_bodies(size: int) -> list[bytes]:
    """JSON of `encoded` requests, one picture each."""
    rng = np.random.default_rng(0)
    bodies = []
    for _ in range(REQUESTS):
        png = cv2.imencode(".png", rng.integers(0, 256, (size, size), np.uint8))[1].tobytes()
        instance = {"b64": base64.b64encode(png).decode("ascii")}
        bodies.append(json.dumps({"signature_name": "encoded", "instances": [instance]}).encode())
    return bodies


def ask(place: str, path: str, bodies: list[bytes]) -> None:
    """Sends requests one after the other on a connection."""
    connection = http.client.HTTPConnection(place, timeout=600)
    for body in bodies:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        if answer.read() and answer.status != 200:
            raise SystemExit(f"error: {path} was answered with {answer.status}")
    connection.close()


def rate(place: str, path: str, bodies: list[bytes], clients: int) -> float:
    """Requests a second of some clients that share the requests."""
    start = perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for done in [
            pool.submit(ask, place, path, bodies[client::clients]) for client in range(clients)
        ]:
            done.result()
    return len(bodies) / (perf_counter() - start)


def main(url: str, name: str) -> None:
    """Prints a line for each round, and the median of their ratios."""
    place = urlsplit(url).netloc
    connection = http.client.HTTPConnection(place, timeout=600)
    connection.request("GET", "/page/models")
    models = json.loads(connection.getresponse().read())["models"]
    connection.close()
    sizes = {model["name"]: model["size"] for model in models}
    if name not in sizes:
        raise SystemExit(f"error: no model {name} at {url}; there are {', '.join(sizes)}")
    size = sizes[name]
    path, bodies = f"/v1/models/{quote(name, safe='')}:predict", request_bodies(size)
    rate(place, path, bodies, CLIENTS)  # the first ones are slower
    ratios = []
    for _ in range(ROUNDS):
        one, many = (rate(place, path, bodies, clients) for clients in (1, CLIENTS))
        ratios.append(many / one)
        times = f"{ratios[-1]:.2f} times as many"
        print(f"one by one: {one:.0f}/s; {CLIENTS} clients: {many:.0f}/s, {times}", flush=True)
    least, most = min(ratios), max(ratios)
    print(f"median: {statistics.median(ratios):.2f} times as many ({least:.2f}–{most:.2f})")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(f"error: name the server and a model\n{__doc__}")
    main(sys.argv[1], sys.argv[2])
