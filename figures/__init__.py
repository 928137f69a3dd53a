"""The study's figures and tables, drawn from the summaries in `figures/results`.

No TensorFlow: `python -m figures.make_all` redraws everything in seconds. Each module has
`draw`, an experiment's figures, and `table`, its table in REPORT.md.
"""
