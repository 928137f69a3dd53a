"""The self test of a new device: verdicts from numbers, processes that abort, and one real run."""

import dataclasses
import json
import math
import sys

import pytest

from rectloc_tf import selftest
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.training.device_check import (
    MOST_MIB,
    STEPS,
    Failure,
    Trial,
    Verdict,
    check_device,
    describe,
    judge,
    largest_difference,
    problem_of,
    try_apart,
)

CPU = [2.0, 1.0, 0.5]
GOOD = Trial(
    devices="A card", session="GPU, XLA off", precision="mixed_bfloat16", why="as asked",
    replicas=1, batch_size=16, losses=[2.02, 1.0, 0.49], compile_seconds=9.0, rate=1000.0,
    steps=300, host_mib=1.0, device_mib=0.0,
)  # fmt: skip
FAST = dataclasses.replace(GOOD, session="GPU, XLA on", rate=2400.0)
ABORT = Failure("aborts here (SIGABRT: F0000 ptxas)")


def changed(**fields):
    return dataclasses.replace(GOOD, **fields)


# Numbers.


@pytest.mark.parametrize(
    ("losses", "difference"),
    [
        (CPU, 0.0),
        ([2.02, 1.0, 0.49], 0.02),
        ([1.0, 1.0, 0.5], 0.5),
        ([2.0, 1.1], 0.1),  # a slow trial has fewer
        ([2.0, math.nan, 0.5], math.inf),
        ([math.inf, 1.0, 0.5], math.inf),
    ],
)
def test_the_largest_difference_of_losses(losses, difference):
    assert largest_difference(losses, CPU) == pytest.approx(difference)


@pytest.mark.parametrize(
    ("trial", "problem"),
    [
        (GOOD, None),
        (changed(precision="float32"), "losses differ from the CPU's by 2.00% (allowed 1%)"),
        (changed(losses=[2.0, 1.0, 0.8]), "losses differ from the CPU's by 60.00% (allowed 5%)"),
        (changed(losses=[2.0, math.nan]), "losses differ from the CPU's by inf% (allowed 5%)"),
        (changed(precision="mixed_float16", losses=[2.0, 1.09, 0.5]), None),
        (changed(host_mib=MOST_MIB), None),
        (
            changed(host_mib=MOST_MIB + 1),
            "memory grows by 65 MiB of the host and 0 MiB of the device in 300 steps (allowed 64)",
        ),
        (changed(device_mib=900.0), "memory grows by 1 MiB of the host and 900 MiB of the device"),
        (ABORT, "aborts here (SIGABRT: F0000 ptxas)"),
    ],
)
def test_what_is_wrong_with_a_trial(trial, problem):
    found = problem_of(trial, CPU)
    assert found is None if problem is None else found.startswith(problem)


def test_a_trial_in_one_line():
    assert describe(GOOD, CPU) == (
        "first step 9.0 s, then 1,000 images/s; 3 losses within 2.00% of the CPU's (allowed 5%); "
        "memory grew by 1 MiB of the host and 0 MiB of the device in 300 steps (allowed 64)"
    )
    assert describe(ABORT, CPU) == ABORT.how


ON_CPU = changed(session="CPU, XLA off")
WRONG = changed(losses=[2.0, 2.0, 2.0])


@pytest.mark.parametrize(
    ("jit", "plain", "xla", "works", "advice"),
    [
        ("auto", GOOD, FAST, True, "use --precision=mixed_bfloat16 --jit=on (as --jit=auto does)"),
        ("auto", GOOD, changed(rate=990.0), True, "--jit=on (as --jit=auto does)"),
        ("auto", GOOD, changed(rate=500.0), True, "use --precision=mixed_bfloat16 --jit=off"),
        ("auto", ON_CPU, changed(rate=9.0), True, "--jit=off (as --jit=auto does)"),
        ("auto", ON_CPU, FAST, True, "use --precision=mixed_bfloat16 --jit=on"),
        ("auto", ON_CPU, ABORT, True, "--jit=off (as --jit=auto does)"),
        ("off", GOOD, None, True, "use --precision=mixed_bfloat16 --jit=off"),
        ("auto", GOOD, None, True, "--jit=off (as --jit=auto does)"),  # several GPUs
        ("auto", GOOD, ABORT, False, f"XLA: {ABORT.how}; use --jit=off"),
        ("on", ON_CPU, ABORT, False, f"XLA: {ABORT.how}; use --jit=off"),
        ("off", ABORT, None, False, f"training: {ABORT.how}; train on the CPU (CUDA_VISIBLE_D"),
        ("off", WRONG, None, False, "by 300.00% (allowed 5%); try --precision=float32"),
        (
            "off", changed(precision="float32", losses=[9.0]), None, False,
            "by 350.00% (allowed 1%); train on the CPU (CUDA_VISIBLE_DEVICES=-1)",
        ),
        ("off", WRONG, FAST, False, "by 300.00% (allowed 5%); use --jit=on"),
        ("auto", WRONG, FAST, True, "--jit=on (as --jit=auto does)"),
        ("auto", ABORT, ABORT, False, f"XLA: {ABORT.how}; train on the CPU"),
    ],
)  # fmt: skip
def test_verdict_and_advice(jit, plain, xla, works, advice):
    verdict = judge(jit, plain, xla, CPU)
    assert verdict.works == works
    assert advice in verdict.advice
    assert "\n" not in verdict.advice
    if works:
        assert ("(as --jit=auto does)" in verdict.advice) == ("(as --jit=auto does)" in advice)


# Processes.


def python(code):
    return (sys.executable, "-c", code)


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os; os.abort()", "aborts here (SIGABRT)"),
        (
            "import os, sys; sys.stderr.write('I0000 hello\\nF0000 no kernel\\n*** stack\\n');"
            "sys.stderr.flush(); os.abort()",
            "aborts here (SIGABRT: F0000 no kernel)",
        ),
        ("raise MemoryError('of the device')", "fails here (exit code 1: MemoryError: of the d"),
    ],
)
def test_a_process_that_ends_badly_is_reported(code, how):
    assert try_apart({}, python(code)).how.startswith(how)


def test_a_process_that_hangs_is_given_up():
    found = try_apart({}, python("import signal; signal.pause()"), timeout=0.5)
    assert found == Failure("does not finish within 0 s")


def test_flags_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="^--jit=on: works with one"):
        try_apart({}, python('print(\'{"refused": "--jit=on: works with one"}\')'))


@pytest.fixture
def machine(tmp_path):
    """A function that makes a command which answers as a machine would, whose XLA may abort."""

    def make(trial, xla_aborts=False):
        path = tmp_path / "machine.py"
        path.write_text(
            "import json, os, sys\n"
            "task = json.loads(sys.argv[1])\n"
            f"open({str(tmp_path / 'tasks')!r}, 'a').write(sys.argv[1] + '\\n')\n"
            f"if task['jit'] == 'on' and {xla_aborts}: os.abort()\n"
            f"if task['jit'] == 'on' and {trial.replicas} > 1:\n"
            "    sys.exit(print(json.dumps({'refused': '--jit=on: one device only'})))\n"
            f"trial = json.loads({json.dumps(json.dumps(dataclasses.asdict(trial)))})\n"
            "if task['precision'] == 'float32': trial['losses'] = [2.0, 1.0, 0.5]\n"
            "print('noise')\n"
            "print(json.dumps(trial))\n"
        )
        return sys.executable, str(path)

    make.tasks = lambda: list(map(json.loads, (tmp_path / "tasks").read_text().splitlines()))
    return make


def test_an_xla_that_aborts_is_reported_with_the_flag_that_helps(machine):
    said = []
    command = machine(GOOD, xla_aborts=True)
    verdict = check_device("auto", "auto", "auto", said.append, command, 0.0)
    assert verdict == Verdict(False, "XLA: aborts here (SIGABRT); use --jit=off")
    assert [line.split()[0] for line in said] == ["devices", "precision", "training", "XLA"]
    assert said[0] == "devices    A card; GPU, XLA off"
    assert said[-1].split(maxsplit=1)[1] == "aborts here (SIGABRT)"


def test_the_cpu_takes_as_many_images_and_replicas(machine):
    said = []
    trial = changed(replicas=8, batch_size=128, session="8 x GPU, XLA off")
    verdict = check_device("mirrored", "auto", "auto", said.append, machine(trial), 0.0)
    assert verdict.works
    assert said[-1].split(maxsplit=1)[1] == "not tried (it is for one device)"
    asked, cpu = machine.tasks()
    assert asked == {"strategy": "mirrored", "precision": "auto", "jit": "off", "seconds": 0.0}
    assert (cpu["replicas"], cpu["batch_size"], cpu["precision"]) == (8, 128, "float32")
    with pytest.raises(ConfigError, match="^--jit=on: one device only"):  # as train says
        check_device("mirrored", "auto", "on", said.append, machine(trial), 0.0)


def test_on_a_cpu_xla_is_tried_only_if_asked_for(machine):
    said, trial = [], changed(session="CPU, XLA off")  # compiling takes minutes there
    verdict = check_device("auto", "auto", "auto", said.append, machine(trial), 0.0)
    assert verdict.works
    assert said[-1].split(maxsplit=1)[1] == "not tried (--jit=auto leaves it off on a CPU)"
    assert [task["jit"] for task in machine.tasks()] == ["off", "off"]
    check_device("auto", "auto", "on", said.append, machine(trial), 0.0)
    assert machine.tasks()[-1]["jit"] == "on"


def test_without_a_cpu_that_trains_nothing_is_known():
    with pytest.raises(UserError, match=r"^training on the CPU aborts here \(SIGABRT\)$"):
        check_device("auto", "auto", "off", len, python("import os; os.abort()"))


def test_a_real_run_on_this_machine():
    command = (sys.executable, "-m", "tests.narrow", "rectloc_tf.training.device_trial")
    said = []
    verdict = check_device("single", "float32", "off", said.append, command, 0.0)
    # Without a GPU both are the same computation.
    assert f"; {STEPS} losses within 0.00% of the CPU's (allowed 1%)" in said[2] or "GPU" in said[0]
    assert verdict == Verdict(True, "use --precision=float32 --jit=off")
    assert said[1] == "precision  float32 (as asked)"


# The command.


def test_the_command_ends_with_advice_or_with_one_line(monkeypatch, capsys):
    flags = {"strategy": "auto", "precision": "float32", "jit": "off"}
    monkeypatch.setattr(selftest.cli, "option", flags.get)
    monkeypatch.setattr(selftest, "check_device", lambda *asked, show: Verdict(True, f"{asked}"))
    selftest.selftest()
    assert capsys.readouterr().out == "advice     ('auto', 'float32', 'off')\n"
    monkeypatch.setattr(selftest, "check_device", lambda *asked, show: Verdict(False, "use less"))
    with pytest.raises(UserError, match="^use less$"):
        selftest.selftest()
    flags["strategy"] = "multi_worker"
    with pytest.raises(ConfigError, match="^--strategy=multi_worker: only train works on several"):
        selftest.selftest()
