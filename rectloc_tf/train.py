"""Train one run: `python -m rectloc_tf.train --arch=deconv --domain=1`.

On your own labelled images: `... --arch=score_map --data=CollectedData.csv`.

The same command resumes a run that was interrupted, and shows the result of a finished one.
With --init_from=RUN a new run starts from the weights of another, with --backbone_weights=FILE
from a pretrained backbone.
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
    from pipelines.source import make_source, read_files
    from rectloc_tf.training import loop as training
    from rectloc_tf.training import run_files, runtime
    from rectloc_tf.training.interrupts import stop_on_signals
    from rectloc_tf.training.progress import ProgressLine

    run, why = runtime.resolve(asked, execution)
    run, weights = initial_weights.resolve(run, cli.option("weights"))
    images_root = cli.option("images_root")
    run, files = read_files(run, images_root)
    # All refuse what cannot work, before anything is written.
    source = make_source(run, execution.renderer, files)
    source.check()
    initial_weights.require_fit(run, weights)
    session = runtime.make_runtime(execution, run.batch_size)
    new_run = "" if run_dir else f", or --precision={run.precision} to start another"
    folder = locate(asked, run, run_dir, new_run)
    initial_weights.require(run, weights, folder)
    run_files.require_same(asked, run, folder, files)
    progress = ProgressLine()
    with folder.lock(), stop_on_signals() as stop:
        places = run_files.places_of(asked, run, images_root)
        folder.claim(run, places, files and files.contents())
        if folder.is_finished():
            progress.print(f"{folder.path}: this run is finished")
            print(format_result(folder.read_result()))
            return
        how = {"session": session.description, **dataclasses.asdict(execution)}
        folder.add_session(runtime.describe_environment() | how)
        progress.print(f"run folder {folder.path}")
        progress.print(f"precision {run.precision} ({why}); {session.description}")
        for line in files.about() if files else ():
            progress.print(line)
        if start := run.init_from or run.backbone_weights:
            progress.print(f"starting weights {start}")
        what = run, execution, folder, session, stop, progress, weights, source
        print(format_result(training.train(*what)))
        print(f"pictures: {folder.path}/predictions.png, epochs.png, history.png")


if __name__ == "__main__":
    cli.main("train", train)
