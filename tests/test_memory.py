"""What a training leaves in memory: nothing."""

import gc
import weakref

import keras
import matplotlib._pylab_helpers
import pytest

from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training import loop as training
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.progress import ProgressLine
from rectloc_tf.training.runtime import make_runtime
from tests.narrow import narrow


def traced_graphs():
    """The graphs of functions that are alive; each keeps the variables it was traced with."""
    gc.collect()
    return {id(o) for o in gc.get_objects() if type(o).__name__ == "FuncGraph"}


@pytest.mark.parametrize(
    ("arch", "precision"),
    [("xy", "mixed_float16"), ("deconv", "float32"), ("score_map", "float32")],
)  # the first with loss scaling, the others without
def test_nothing_of_a_training_stays(tmp_path, monkeypatch, arch, precision):
    monkeypatch.setattr(RunConfig, "split_indices", lambda self, split: range(8000, 8010))
    alive = []

    class Watched(training.Trainer):
        def __init__(self, *args):
            super().__init__(*args)
            parts = (self, self.state, self.evaluator, self.state.model, self.state.optimizer)
            alive.extend(weakref.ref(part) for part in parts)

    monkeypatch.setattr(training, "Trainer", Watched)
    run = RunConfig(
        arch=arch, image_size=64, num_images=10, batch_size=8, epochs=1, precision=precision
    )
    how = ExecutionConfig(render_on="host")
    before = traced_graphs()
    folder = RunFolder(tmp_path)
    folder.claim(run)
    runtime = make_runtime(how, run.batch_size)
    with narrow():
        training.train(run, how, folder, runtime, StopRequest(), ProgressLine())
    keras.backend.clear_session()
    assert not traced_graphs() - before
    assert len(alive) == 5
    assert [ref() for ref in alive] == [None] * 5
    assert not matplotlib._pylab_helpers.Gcf.figs
