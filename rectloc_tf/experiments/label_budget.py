"""Estimate what more labels bring: `python -m rectloc_tf.experiments.label_budget --data=a.csv`.

Trains heads on growing sets of your labelled images, tests each on images it has not seen, and
reports how the error falls: a table, a figure, and the error to expect with more labels, each with
a 95 % interval. --dry_run lists the runs and their cost; the same command resumes.
"""

from pathlib import Path

from rectloc_tf import cli
from rectloc_tf.errors import EXIT_ERROR, UserError
from rectloc_tf.experiments.budget_flags import read_flags
from rectloc_tf.experiments.ray_runner import join
from rectloc_tf.experiments.share import own_command, read_resources, read_share
from rectloc_tf.results.output_files import check_folder


def label_budget() -> int:
    """Makes what is missing, and writes what there is to say; returns the exit code."""
    asked, execution = read_flags(), cli.execution_config()
    share, resources = read_share(), read_resources()
    output = cli.path_option("output_dir") or Path("label_budget")
    images_root = cli.option("images_root")
    check_folder("output_dir", output)
    cli.load_tensorflow()
    from pipelines.labels.reading import read_all
    from rectloc_tf.experiments import budget
    from rectloc_tf.results import budget_report
    from rectloc_tf.training import initial_weights, runtime
    from rectloc_tf.training.interrupts import stop_on_signals

    heads = [runtime.resolve(base, execution)[0] for base in asked.bases]
    found = read_all(heads[0], images_root)
    whole = len(found.labels)
    sizes = asked.sizes or budget.default_sizes(found, asked.folds)
    more = budget.resolve_more(asked.more, whole, sizes[-1])
    bases = [initial_weights.resolve(run, cli.option("weights")) for run in heads]
    trainings = budget.plan(bases, found, sizes, asked.folds, asked.seeds)
    command = own_command("experiments.label_budget", heads[0].precision)
    with join(resources, command) as cluster, stop_on_signals() as stop:
        folders = cli.folder("runs_root"), output / "runs"
        making = budget.Budget(*folders, images_root, execution, stop, share)
        if cli.option("dry_run"):
            print("\n".join(making.plan_lines(trainings)))
            return 0
        made = making.make_on(cluster, trainings) if cluster else making.make(trainings)
        failures = [line for line in made if line]
    kept = [errors for training in trainings if (errors := making.errors(training))]
    if not kept and not share.runs:
        raise UserError(f"--data={cli.option('data')}: no training finished; see above")
    if not share.runs:
        runs = {(training.run.fold, training.run.seed) for training in trainings}
        print(budget_report.write(output, kept, runs, whole, more))
    for failure in failures:
        print(f"failed: {failure}")
    return EXIT_ERROR if failures else 0


if __name__ == "__main__":
    cli.main("experiments.label_budget", label_budget)
