"""Benchmarks: workers in processes of their own, measured in turns.

`turns` is the harness and imports neither TensorFlow nor a peer's framework; `workers` are
ours, the peers' lie in `benchmarks/` outside the package; `suites` says what is compared,
`groups` what is reported of it.
"""
