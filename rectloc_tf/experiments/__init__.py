"""The study: each module is an entry point, `python -m rectloc_tf.experiments.<name>`.

`plan` says what an experiment and its runs are, `summaries` what is kept of them, `extend` how a
study adds to what is there, `runner` trains and measures; an experiment lists its runs and sums
them up. Figures are drawn from the summaries alone, by `figures/`.
"""

# The only list of the experiments, in the order in which they are made and shown: each has a
# module of its name here and in `figures/`. To each the flags that only some of them use.
EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "headline": (),
    "prediction_epochs": (),
    "architectures": (),
    "cross_domain": ("domains",),
    "data_efficiency": ("fractions", "updates"),
    "hyperparameter_sweep": ("batch_sizes", "learning_rates", "depths"),
    "multiple_locations": ("domains",),
    "more_labels": (),
    "target_density": (),
}
