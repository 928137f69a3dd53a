"""Several workers that train one run: TF_CONFIG, slices, and two of them on loopback."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

import rectloc_tf.models  # noqa: F401 (registers the layers of saved models)
from pipelines.labels.reading import read_run
from pipelines.source import make_source
from pipelines.streams import BatchSlices, training_batches
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.training.cluster import Cluster, read_cluster, require_free_port
from rectloc_tf.training.runtime import make_runtime
from tests.conftest import HANGS, ROOT, TINY, command, run
from tests.labelled_dots import write_dots
from tests.two_workers import FLAGS, HOW, STOPPED_AFTER, train_without_batch_statistics

OTHER = r"worker 1 \(127\.0\.0\.1:\d+\)"
TWO = {"worker": ["one:2222", "two:2222"]}


def config(cluster, job="worker", index=0):
    """The environment of a worker."""
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})}


# TF_CONFIG.


def test_the_chief_is_the_first_worker_or_is_named():
    first, second = (read_cluster(config(TWO, index=index)) for index in (0, 1))
    assert (first.number, second.number, first.size) == (0, 1, 2)
    assert first.tasks == second.tasks == (("worker", 0, "one:2222"), ("worker", 1, "two:2222"))
    assert second.address == "two:2222"
    assert second.others == "worker 0 (one:2222)"
    named = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    assert [t[2] for t in read_cluster(config(named)).tasks] == ["a:1", "b:1", "c:1"]
    assert read_cluster(config(named, "chief")).number == 0
    assert read_cluster(config(named, "worker", 1)).number == 2
    assert read_cluster(config(TWO, index="1")).number == 1


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "--strategy=multi_worker: TF_CONFIG is not set; example: {"),
        ({"TF_CONFIG": "{worker"}, "not valid JSON (Expecting property name"),
        ({"TF_CONFIG": "[]"}, "must have 'cluster' and 'task'"),
        ({"TF_CONFIG": json.dumps({"cluster": TWO})}, "must have 'cluster' and 'task'"),
        ({"TF_CONFIG": json.dumps({"cluster": TWO, "task": {"type": "worker"}})}, "'index'"),
        (config({}), "'cluster' must name the addresses"),
        (config({"worker": "one:2222"}), "'worker' must be a list of addresses, host:port"),
        (config({**TWO, "ps": ["three:2222"]}), "'cluster' has 'ps', which is not used here"),
        (config({**TWO, "chief": ["a:1", "b:1"]}), "'chief' has 2 addresses"),
        (config({"worker": ["one"]}), "address 'one' must be host:port"),
        (config({"worker": ["one:port"]}), "address 'one:port' must be host:port"),
        (config({"worker": ["one:70000"]}), "address 'one:70000' must be host:port"),
        (config({"worker": ["a:1", "b:1", "a:1"]}), "address a:1 is named twice"),
        (config(TWO, index=2), "task 'worker' 2 is not in 'cluster', which has index 0 to 1"),
        (config(TWO, index=-1), "task 'worker' -1 is not in 'cluster', which has index 0 to 1"),
        (config(TWO, "chief"), "task 'chief' 0 is not in 'cluster', which has type worker"),
    ],
)
def test_a_wrong_tf_config_is_named(environment, words):
    with pytest.raises(ConfigError) as caught:
        read_cluster(environment)
    message = str(caught.value)
    assert words in message
    assert message.startswith(("TF_CONFIG: ", "--strategy=multi_worker: "))
    assert "\n" not in message


def test_a_port_in_use_is_named():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        with pytest.raises(ConfigError, match=rf"^TF_CONFIG: port \d+ .*{address}.* is not free"):
            require_free_port(Cluster((("worker", 0, address),), 0))
    require_free_port(Cluster((("worker", 0, address),), 0))


def test_the_worker_that_tensorflow_names_is_blamed():
    cluster = Cluster((("chief", 0, "a:1"), ("worker", 0, "b:1"), ("worker", 1, "c:1")), 1)
    text = (
        "Error from /job:worker/replica:0/task:0: lost /job:worker/task:1\n"
        "and /job:worker/replica:0/task:1, /job:chief/task:0, /job:ps/task:0"
    )
    assert cluster.blamed(text) == ["worker 1 (c:1)", "chief 0 (a:1)"]
    assert cluster.blamed("Connection reset by peer") == []


def test_commands_without_workers_refuse_them(tmp_path):
    with pytest.raises(ConfigError, match="^--strategy=multi_worker: only train works"):
        make_runtime(ExecutionConfig(strategy="multi_worker"), 8)
    flags = ("--arch=xy", *TINY, "--strategy=multi_worker", f"--run_dir={tmp_path}")
    done = run("train", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --strategy=multi_worker: TF_CONFIG is not set")
    assert done.stderr.count("\n") == 1


# Slices.


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Of each kind: a run whose epochs end inside batches, and its source."""
    scenes = RunConfig(image_size=64, num_images=20, batch_size=6, epochs=3)
    data = str(write_dots(tmp_path_factory.mktemp("dots")))
    asked = RunConfig(source="images", data=data, arch="xy", image_size=64, batch_size=6, steps=9)
    images, files = read_run(asked)
    return {
        "scenes": (scenes, make_source(scenes)),
        "images": (images, make_source(images, files=files)),
    }


@pytest.mark.parametrize("name", ["scenes", "images"])
def test_workers_share_the_order_of_one_machine(sources, name):
    run, source = sources[name]
    whole = [batch["index"].numpy() for batch in training_batches(run, source, drawn=False)]
    slices = [
        [batch["index"].numpy() for batch in training_batches(run, source, 0, part, False)]
        for part in (BatchSlices(3, worker, 1) for worker in range(3))
    ]
    assert [len(part) for part in slices] == [len(whole)] * 3 == [run.total_steps] * 3
    joined = [np.concatenate(parts) for parts in zip(*slices, strict=True)]
    np.testing.assert_array_equal(joined, whole)
    order = np.concatenate(joined)
    assert len(order) >= 2 * run.num_train
    for start in range(0, len(order) - run.num_train + 1, run.num_train):
        assert len({*order[start : start + run.num_train]}) == run.num_train


# Two workers.


def run_two(*argv: str) -> list[subprocess.CompletedProcess]:
    """Runs `python -m argv` on two workers of this machine, to their ends."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]

    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *argv], cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **config({"worker": addresses}, index=index)},
        )
        for index in range(2)
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=HANGS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *output)
        for process, output in zip(processes, outputs, strict=True)
    ]


@pytest.fixture(scope="module")
def trained_by_two(tmp_path_factory):
    """A folder with what two workers trained, and what each of them saw."""
    folder = tmp_path_factory.mktemp("two")
    chief, other = run_two("tests.two_workers", str(folder))
    assert chief.returncode == 0, chief.stderr[-3000:]
    assert other.returncode == -signal.SIGKILL, other.stderr[-3000:]
    return folder, *(json.loads(done.stdout.splitlines()[-1]) for done in (chief, other))


def kept(path):
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


def test_without_batch_statistics_they_train_as_one_device_does(trained_by_two):
    folder, *_ = trained_by_two
    alone = train_without_batch_statistics(make_runtime(HOW, FLAGS["batch_size"]))
    start, end = alone
    moved = max(np.abs(after - before).max() for before, after in zip(start, end, strict=True))
    assert moved > 1e-4
    for name in ("chief", "other"):
        for theirs, ours in zip(kept(folder / f"{name}_frozen.npz"), end, strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)


def test_with_batch_statistics_they_stay_identical(trained_by_two):
    folder, *_ = trained_by_two
    chief, other = (kept(folder / f"{name}_whole.npz") for name in ("chief", "other"))
    start = kept(folder / "chief_frozen.npz")  # whose moving statistics have not moved
    for ours, theirs in zip(chief, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not any(np.array_equal(a, b) for a, b in zip(chief, start, strict=True))


def test_what_two_workers_agree_on(trained_by_two):
    _, chief, other = trained_by_two
    gone = chief.pop("gone")
    assert re.match(
        rf"{OTHER} of the cluster was lost; .* the same command on all workers to resume$", gone
    )
    full = chief.pop("full disk")
    assert "full: checkpoint cannot be written" in full
    named = other.pop("full disk")
    assert re.match(r"worker 0 \(127.0.0.1:\d+\) has stopped: ", named)
    assert named.endswith(full)
    # The one that was sent no signal ends as after a SIGTERM.
    assert chief.pop("stopped") == [STOPPED_AFTER, 143]
    assert other.pop("stopped") == [STOPPED_AFTER, 130]
    assert chief == other
    assert re.fullmatch(
        rf"{OTHER} has other flags \(--seed=3 there, 4 at the chief\); start all with the same",
        chief.pop("other flags"),
    )
    # Gradients, moving statistics, the loss: none of them layer by layer.
    assert chief == {
        "session": "2 x CPU of 2 workers, XLA off",
        "collectives": 3,
        "rows": [8],
        "agreed": [[True, True, False]],
    }


def test_the_command_takes_up_a_stopped_run_and_ends_as_if_it_had_not_been(trained_by_two):
    folder, *_ = trained_by_two
    flags = [f"--{name}={value}" for name, value in FLAGS.items()]
    how = ("--deterministic", "--strategy=multi_worker", f"--run_dir={folder / 'cut'}")
    chief, other = run_two(*command("train", *flags, *how, few=True, narrow=True))
    assert (chief.returncode, chief.stderr) == (0, "")
    assert (other.returncode, other.stderr) == (0, "")
    assert f"resuming after step {STOPPED_AFTER}," in chief.stdout
    assert re.fullmatch(
        r"waiting for the other tasks .*: worker 0 \(127.0.0.1:\d+\)\n", other.stdout
    )
    result = json.loads((folder / "cut" / "result.json").read_text())
    assert result["steps"] == 8
    final = keras.saving.load_model(folder / "cut" / "final.keras", compile=False)
    for ours, theirs in zip(final.get_weights(), kept(folder / "chief_whole.npz"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
