"""The workers of a cluster, and which of them this process is, from TF_CONFIG.

    {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}

Does not import TensorFlow, so that mistakes are reported before it loads.
"""

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rectloc_tf.errors import ConfigError

JOBS = ("chief", "worker")  # in the order in which TensorFlow numbers their tasks
EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Cluster:
    """The workers that train one run, and this one among them.

    Attributes:
        tasks: (job, index, address) of each; the first is the chief.
        number: of this one among them.
    """

    tasks: tuple[tuple[str, int, str], ...]
    number: int

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self.tasks)

    @property
    def address(self) -> str:
        """host:port of this one."""
        return self.tasks[self.number][2]

    def name(self, number: int) -> str:
        """A worker's name in messages."""
        job, index, address = self.tasks[number]
        return f"{job} {index} ({address})"

    @property
    def others(self) -> str:
        """The other workers' names in messages."""
        return ", ".join(self.name(n) for n in range(self.size) if n != self.number)

    def blamed(self, text: str) -> list[str]:
        """The other workers that a TensorFlow error message names, in its order."""
        numbers = {(job, index): number for number, (job, index, _) in enumerate(self.tasks)}
        named = re.findall(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)", text)
        found = (numbers.get((job, int(index))) for job, index in named)
        others = dict.fromkeys(n for n in found if n is not None and n != self.number)
        return [self.name(number) for number in others]


def read_cluster(environment: Mapping[str, str]) -> Cluster:
    """The cluster of `--strategy=multi_worker`, from TF_CONFIG.

    Raises:
        ConfigError: saying what is wrong with it.
    """
    text = environment.get("TF_CONFIG", "")
    if not text:
        raise ConfigError(f"--strategy=multi_worker: TF_CONFIG is not set; example: {EXAMPLE}")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _wrong(f"not valid JSON ({error})") from error
    if not isinstance(value, dict) or not {"cluster", "task"} <= value.keys():
        raise _wrong(f"must have 'cluster' and 'task'; example: {EXAMPLE}")
    tasks, task = _tasks(value["cluster"]), value["task"]
    if not isinstance(task, dict) or not {"type", "index"} <= task.keys():
        raise _wrong("'task' must have 'type' and 'index'")
    job, index = task["type"], task["index"]
    if isinstance(index, str) and index.isdigit():  # some launchers write it as a string
        index = int(index)
    mine = [n for n, (j, i, _) in enumerate(tasks) if (j, i) == (job, index)]
    if not mine or isinstance(index, bool):
        count = sum(j == job for j, _, _ in tasks)
        there = f"index 0 to {count - 1}" if count else f"type {' or '.join(_jobs(tasks))}"
        raise _wrong(f"task {job!r} {index!r} is not in 'cluster', which has {there}")
    return Cluster(tasks, mine[0])


def _wrong(what: str) -> ConfigError:
    return ConfigError(f"TF_CONFIG: {what}")


def _jobs(tasks: tuple[tuple[str, int, str], ...]) -> list[str]:
    return sorted({job for job, _, _ in tasks})


def _tasks(cluster: Any) -> tuple[tuple[str, int, str], ...]:
    if not isinstance(cluster, dict) or not cluster:
        raise _wrong("'cluster' must name the addresses of its workers")
    for job, addresses in cluster.items():
        if job not in JOBS:
            raise _wrong(f"'cluster' has {job!r}, which is not used here; only worker and chief")
        if not isinstance(addresses, list) or not addresses:
            raise _wrong(f"{job!r} must be a list of addresses, host:port")
    if len(cluster.get("chief", [None])) > 1:
        raise _wrong(f"'chief' has {len(cluster['chief'])} addresses; there is one chief")
    tasks = tuple(
        (job, index, address) for job in JOBS for index, address in enumerate(cluster.get(job, []))
    )
    addresses = [address for _, _, address in tasks]
    for address in addresses:
        _, colon, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
        if not colon or not port.isdigit() or not 0 < int(port) < 65536:
            raise _wrong(f"address {address!r} must be host:port")
        if addresses.count(address) > 1:
            raise _wrong(f"address {address} is named twice; each worker has its own")
    return tasks


def require_free_port(cluster: Cluster) -> None:
    """Refuses the port of this worker if another process listens on it.

    Raises:
        ConfigError: naming it.
    """
    port = int(cluster.address.rpartition(":")[2])
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("", port))
        except OSError as error:
            why = error.strerror or "cannot be used"
            who = cluster.name(cluster.number)
            raise _wrong(f"port {port} of this worker, {who}, is not free ({why})") from error
