"""Train one run: `python -m rectloc_tf.train --arch=deconv --domain=1`.

On your own labelled images: `... --arch=score_map --data=CollectedData.csv`.

The same command resumes an interrupted run, and shows the result of a finished one. --init_from=RUN
starts from another run's weights, --backbone_weights=FILE from a pretrained backbone. With
--strategy=multi_worker, start it on several machines, each with its own TF_CONFIG.
"""

import contextlib
import dataclasses
import os

from rectloc_tf import cli
from rectloc_tf.results.report import format_result
from rectloc_tf.results.rundir import locate
from rectloc_tf.training import initial_weights
from rectloc_tf.training.cluster import read_cluster, require_free_port


def train() -> None:
    """Trains the run that the flags describe, in its folder."""
    asked, execution, run_dir = cli.run_config(), cli.execution_config(), cli.run_dir()
    initial_weights.check(asked, cli.option("weights"))
    cluster = None
    if execution.strategy == "multi_worker":
        cluster = read_cluster(os.environ)
        require_free_port(cluster)
    cli.load_tensorflow()
    from pipelines.source import make_source, read_files
    from rectloc_tf.training import loop as training
    from rectloc_tf.training import run_files, runtime
    from rectloc_tf.training.interrupts import stop_on_signals
    from rectloc_tf.training.progress import ProgressLine, WarningsOnly
    from rectloc_tf.training.team import make_team

    def prepare():
        """What is to be trained; refuses what cannot work, before anything is written."""
        run, why = runtime.resolve(asked, execution)
        run, weights = initial_weights.resolve(run, cli.option("weights"))
        run, files = read_files(run, images_root)
        source = make_source(run, execution.renderer, files)
        source.check()
        initial_weights.require_fit(run, weights)
        session = runtime.make_runtime(execution, run.batch_size, team=team)
        new_run = "" if run_dir else f", or --precision={run.precision} to start another"
        folder = locate(asked, run, run_dir, new_run)
        initial_weights.require(run, weights, folder)
        run_files.require_same(asked, run, folder, files)
        return run, why, weights, files, source, session, folder

    def claim():
        """Makes the folder this run's; whether it is finished."""
        opened.enter_context(folder.lock())
        folder.claim(run, run_files.places_of(asked, run, images_root), files and files.contents())
        return folder.is_finished()

    images_root = cli.option("images_root")
    if cluster:
        print(f"waiting for the other tasks in TF_CONFIG: {cluster.others}", flush=True)
    team = make_team(cluster)  # before any other use of TensorFlow
    progress = ProgressLine() if team.is_chief else WarningsOnly()
    with team.watched(), contextlib.ExitStack() as opened:
        run, why, weights, files, source, session, folder = team.together(prepare)
        how = {"steps_per_call": session.steps_per_call, "deterministic": execution.deterministic}
        team.require_same(run.identity() | how)
        stop = opened.enter_context(stop_on_signals())
        if team.from_chief(claim):
            progress.print(f"{folder.path}: this run is finished")
            progress.print(format_result(folder.read_result()))
            return
        how = {"session": session.description, **dataclasses.asdict(execution)}
        team.from_chief(lambda: folder.add_session(runtime.describe_environment() | how))
        progress.print(f"run folder {folder.path}")
        progress.print(f"precision {run.precision} ({why}); {session.description}")
        for line in files.about() if files else ():
            progress.print(line)
        if files and not cli.is_given("arch"):
            progress.print(f"no --arch: training {run.arch}; score_map needs far fewer images")
        if start := run.init_from or run.backbone_weights:
            progress.print(f"starting weights {start}")
        what = run, execution, folder, session, stop, progress, weights, source
        if result := training.train(*what):
            print(format_result(result))
            print(f"pictures: {folder.path}/predictions.png, epochs.png, history.png")


if __name__ == "__main__":
    cli.main("train", train)
