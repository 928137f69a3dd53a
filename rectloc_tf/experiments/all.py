"""The whole study: every experiment, each run once.

python -m rectloc_tf.experiments.all --flagfile=flags/study.flags --dry_run
"""

from rectloc_tf.experiments import (
    architectures,
    cross_domain,
    data_efficiency,
    headline,
    hyperparameter_sweep,
    more_labels,
    multiple_locations,
    prediction_epochs,
    target_density,
)

EXPERIMENTS = tuple(
    module.EXPERIMENT
    for module in (
        headline,
        prediction_epochs,
        architectures,
        cross_domain,
        data_efficiency,
        hyperparameter_sweep,
        multiple_locations,
        more_labels,
        target_density,
    )
)

if __name__ == "__main__":
    from rectloc_tf.experiments.command import main

    main(*EXPERIMENTS)
