"""What the machine offers, and what is made of it."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.processor import onednn_is_on
from rectloc_tf.training import runtime
from rectloc_tf.training.runtime import choose_precision, gpu_precision, make_runtime, resolve

THREE = SimpleNamespace(num_replicas_in_sync=3)
ONE = SimpleNamespace(num_replicas_in_sync=1)


@pytest.fixture
def machine(monkeypatch):
    """A function that makes this machine have these devices, whatever it really has."""
    monkeypatch.delenv("TPU_NAME", raising=False)

    def install(*types, capabilities=(), flags=frozenset()):
        devices = [SimpleNamespace(device_type=t, name=f"{t}:{i}") for i, t in enumerate(types)]

        def listed(kind=None):
            return [d for d in devices if kind in (None, d.device_type)]

        details = dict(zip((d.name for d in listed("GPU")), capabilities, strict=False))
        monkeypatch.setattr(tf.config, "list_physical_devices", listed)
        monkeypatch.setattr(tf.config, "list_logical_devices", listed)
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", lambda gpu: details.get(gpu.name, {})
        )
        monkeypatch.setattr(runtime, "cpu_flags", lambda: set(flags))

    return install


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((0, 0), "float32"),
        ((6, 1), "float32"),
        ((7, 0), "mixed_float16"),
        ((7, 5), "mixed_float16"),
        ((8, 0), "mixed_bfloat16"),
        ((8, 9), "mixed_bfloat16"),
        ((9, 0), "mixed_bfloat16"),
        ((10, 0), "mixed_bfloat16"),
    ],
)
def test_gpu_precision(capability, precision):
    chosen, reason = gpu_precision(capability)
    assert chosen == precision
    assert f"{capability[0]}.{capability[1]}" in reason


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_precision_that_was_asked_for_is_used(machine, precision):
    machine("CPU", "GPU", capabilities=[{"compute_capability": (6, 1)}])
    assert choose_precision(precision) == (precision, "as asked")


@pytest.mark.parametrize(
    ("flags", "precision", "reason"),
    [
        ({"fpu", "avx512f"}, "float32", "no bfloat16"),
        (set(), "float32", "no bfloat16"),
        ({"fpu", "avx512_bf16"}, "mixed_bfloat16", "avx512_bf16"),
        ({"amx_bf16"}, "mixed_bfloat16", "amx_bf16"),
    ],
)
def test_auto_precision_of_a_cpu(machine, flags, precision, reason):
    machine("CPU", flags=flags)
    chosen, why = choose_precision("auto")
    assert chosen == precision
    assert reason in why


def test_auto_precision_is_that_of_the_weakest_gpu(machine):
    details = [{"compute_capability": (9, 0)}, {"compute_capability": (7, 5)}]
    machine("CPU", "GPU", "GPU", capabilities=details, flags={"avx512_bf16"})
    assert choose_precision("auto")[0] == "mixed_float16"


def test_auto_precision_of_a_gpu_without_details(machine):
    machine("CPU", "GPU", capabilities=[{}])
    assert choose_precision("auto")[0] == "float32"


def test_auto_precision_of_a_tpu(machine, monkeypatch):
    machine("CPU")
    assert choose_precision("auto", "tpu")[0] == "mixed_bfloat16"
    assert choose_precision("auto", "single")[0] == "float32"
    monkeypatch.setenv("TPU_NAME", "local")
    assert choose_precision("auto", "auto")[0] == "mixed_bfloat16"
    assert choose_precision("auto", "single")[0] == "float32"


def test_resolve_replaces_the_precision_and_nothing_else(machine):
    machine("CPU", flags={"amx_bf16"})
    run = RunConfig(domain=4, learning_rate=0.5)
    resolved, reason = resolve(run, ExecutionConfig())
    assert run.precision == "auto"
    assert resolved.to_json() == {**run.to_json(), "precision": "mixed_bfloat16"}
    assert "amx_bf16" in reason
    assert resolve(resolved, ExecutionConfig()) == (resolved, "as asked")


@pytest.mark.parametrize("batch_size", [1, 2, 4, 64])
def test_replicas_must_share_the_batch_evenly(machine, batch_size):
    machine("CPU")
    with pytest.raises(ConfigError) as caught:
        make_runtime(ExecutionConfig(), batch_size, THREE)
    assert f"--batch_size={batch_size}" in str(caught.value)
    assert "multiple of the 3 devices" in str(caught.value)


def test_a_batch_that_can_be_shared_is_accepted(machine):
    machine("CPU")
    made = make_runtime(ExecutionConfig(), 6, THREE)
    assert made.strategy is THREE
    assert not made.jit
    assert made.description == "3 x CPU, XLA off"


@pytest.mark.parametrize("device", ["CPU", "GPU", "TPU"])
def test_xla_with_replicas_is_refused(machine, device):
    machine(*{"CPU", device})
    with pytest.raises(ConfigError, match="--jit=on"):
        make_runtime(ExecutionConfig(jit="on"), 6, THREE)


@pytest.mark.parametrize(
    ("devices", "jit", "strategy", "expected"),
    [
        (["CPU"], "auto", ONE, "CPU, XLA off"),
        (["CPU"], "on", ONE, "CPU, XLA on"),
        (["CPU"], "off", ONE, "CPU, XLA off"),
        (["CPU", "GPU"], "auto", ONE, "GPU, XLA on, 20 steps per call"),
        (["CPU", "GPU"], "off", ONE, "GPU, XLA off, 20 steps per call"),
        (["CPU", "GPU", "GPU", "GPU"], "auto", THREE, "3 x GPU, XLA off, 20 steps per call"),
        (["CPU", "TPU", "TPU", "TPU"], "auto", THREE, "3 x TPU, XLA off, 20 steps per call"),
    ],
)
def test_compilation_and_its_description(machine, devices, jit, strategy, expected):
    machine(*devices)
    made = make_runtime(ExecutionConfig(jit=jit), 6, strategy)
    assert made.description == expected
    assert made.jit == ("XLA on" in expected)


def test_auto_compiles_nothing_that_must_be_deterministic(machine):
    machine("CPU", "GPU")
    assert make_runtime(ExecutionConfig(), 6, ONE).jit
    assert not make_runtime(ExecutionConfig(deterministic=True), 6, ONE).jit


@pytest.mark.parametrize(
    ("devices", "asked", "expected"),
    [(["CPU"], 0, 1), (["CPU", "GPU"], 0, 20), (["CPU"], 3, 3), (["CPU", "GPU"], 1, 1)],
)
def test_steps_per_call(machine, devices, asked, expected):
    machine(*devices)
    made = make_runtime(ExecutionConfig(steps_per_call=asked), 6, ONE)
    assert made.steps_per_call == expected
    assert (f", {expected} steps per call" in made.description) == (expected > 1)


@pytest.mark.parametrize(
    ("devices", "requested", "mirrored"),
    [
        (["CPU"], "auto", False),
        (["CPU", "GPU"], "auto", False),
        (["CPU", "GPU", "GPU", "GPU"], "auto", True),
        (["CPU", "GPU", "GPU", "GPU"], "single", False),
        (["CPU"], "mirrored", True),
    ],
)
def test_strategy(machine, monkeypatch, devices, requested, mirrored):
    machine(*devices)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: THREE)
    made = make_runtime(ExecutionConfig(strategy=requested, jit="off"), 6)
    assert made.strategy is (THREE if mirrored else tf.distribute.get_strategy())


def test_a_tpu_that_cannot_be_reached_is_a_wrong_flag(machine, monkeypatch):
    machine("CPU")

    def fail(name):
        assert name == "local"
        raise ValueError("Please provide a TPU Name to connect to.\nMore lines")

    monkeypatch.delenv("TPU_NAME", raising=False)
    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", fail)
    with pytest.raises(ConfigError) as caught:
        make_runtime(ExecutionConfig(strategy="tpu"), 6)
    expected = "--strategy=tpu: no TPU can be reached (Please provide a TPU Name to connect to.)"
    assert str(caught.value) == expected


def test_environment_is_described_in_json_values():
    described = runtime.describe_environment()
    assert described["tensorflow"] == tf.__version__
    assert any("CPU" in name for name in described["devices"])
    assert all(isinstance(value, (str, int, list)) for value in described.values())
    assert described["onednn"] == onednn_is_on()
