"""Train one run: `python -m rectloc_tf.train --arch=deconv --domain=1`.

The same command resumes after an interruption, and prints the result of a finished run.
"""

import dataclasses

from rectloc_tf import cli
from rectloc_tf.report import format_result
from rectloc_tf.rundir import RunFolder


def train() -> None:
    """Trains the run that the flags describe, in its folder."""
    run, execution, run_dir = cli.run_config(), cli.execution_config(), cli.run_dir()
    cli.load_tensorflow()
    from pipelines.sampling import scene_table
    from rectloc_tf import runtime, training
    from rectloc_tf.interrupts import stop_on_signals
    from rectloc_tf.progress import ProgressLine

    run, why = runtime.resolve(run, execution)
    # Both refuse what cannot work, before anything is written.
    scene_table(run.scene)
    session = runtime.make_runtime(execution, run.batch_size)
    folder = RunFolder(run_dir or run.default_folder)
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
        result = training.train(run, execution, folder, session, stop, progress)
        print(format_result(result))
        print(f"pictures: {folder.path}/predictions.png, epochs.png, history.png")


if __name__ == "__main__":
    cli.main("train", train)
