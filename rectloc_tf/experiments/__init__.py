"""The study: each module is an entry point, `python -m rectloc_tf.experiments.<name>`.

`plan` says what an experiment and its runs are, `summaries` what is kept of them, `extend` how a
study adds to what is there, `runner` trains and measures, `share` says which runs a process makes
and `ray_runner` makes them on a cluster; an experiment lists its runs and sums them up. Figures are
drawn from the summaries alone, by `figures/`.
"""
