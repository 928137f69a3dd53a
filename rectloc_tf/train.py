"""Train one run: `python -m rectloc_tf.train --arch=deconv --domain=1`.

The same command resumes a run that was interrupted, and shows the result of a finished one.
With --init_from=RUN a new run starts from the weights of another.
"""

import dataclasses

from rectloc_tf import cli
from rectloc_tf.results.report import format_result
from rectloc_tf.results.rundir import locate
from rectloc_tf.training import initial_weights


def train() -> None:
    """Trains the run that the flags describe, in its folder."""
    asked, execution, run_dir = cli.run_config(), cli.execution_config(), cli.run_dir()
    initial_weights.check(asked, cli.option("weights"))
    cli.load_tensorflow()
    from pipelines.source import make_source
    from rectloc_tf.training import loop as training
    from rectloc_tf.training import runtime
    from rectloc_tf.training.interrupts import stop_on_signals
    from rectloc_tf.training.progress import ProgressLine

    run, why = runtime.resolve(asked, execution)
    run, weights = initial_weights.resolve(run, cli.option("weights"))
    # All refuse what cannot work, before anything is written.
    make_source(run).check()
    initial_weights.require_fit(run, weights)
    session = runtime.make_runtime(execution, run.batch_size)
    new_run = "" if run_dir else f", or --precision={run.precision} to start another"
    folder = locate(asked, run, run_dir, new_run)
    initial_weights.require(run, weights, folder)
    progress = ProgressLine()
    with folder.lock(), stop_on_signals() as stop:
        folder.claim(run)
        if folder.is_finished():
            progress.print(f"{folder.path}: this run is finished")
            print(format_result(folder.read_result()))
            return
        how = {"session": session.description, **dataclasses.asdict(execution)}
        folder.add_session(runtime.describe_environment() | how)
        progress.print(f"run folder {folder.path}")
        progress.print(f"precision {run.precision} ({why}); {session.description}")
        if run.init_from:
            progress.print(f"starting weights {run.init_from}")
        result = training.train(run, execution, folder, session, stop, progress, weights)
        print(format_result(result))
        print(f"pictures: {folder.path}/predictions.png, epochs.png, history.png")


if __name__ == "__main__":
    cli.main("train", train)
