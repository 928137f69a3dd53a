"""The whole study: every experiment, each run once.

python -m rectloc_tf.experiments.all --flagfile=flags/study.flags --dry_run
"""

from importlib import import_module

from rectloc_tf import experiments
from rectloc_tf.experiments.command import main

EXPERIMENTS = tuple(
    import_module(f"{experiments.__name__}.{name}").EXPERIMENT for name in experiments.EXPERIMENTS
)

if __name__ == "__main__":
    main(*EXPERIMENTS)
