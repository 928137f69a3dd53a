"""The whole study: every experiment; shared runs are made once.

python -m rectloc_tf.experiments.all --flagfile=flags/study.flags --dry_run
"""

from importlib import import_module

from rectloc_tf import registry
from rectloc_tf.experiments.command import main

EXPERIMENTS = tuple(
    import_module(f"rectloc_tf.experiments.{name}").EXPERIMENT for name in registry.EXPERIMENTS
)

if __name__ == "__main__":
    main(*EXPERIMENTS)
