"""The whole study: every experiment, each run once.

python -m rectloc_tf.experiments.all --flagfile=flags/study.flags --dry_run
"""

from rectloc_tf.experiments import (
    architectures,
    cross_domain,
    data_efficiency,
    headline,
    prediction_epochs,
)

EXPERIMENTS = tuple(
    module.EXPERIMENT
    for module in (headline, prediction_epochs, architectures, cross_domain, data_efficiency)
)

if __name__ == "__main__":
    from rectloc_tf.experiments.command import main

    main(*EXPERIMENTS)
