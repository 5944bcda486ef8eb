"""
How fast the service is, measured against a bare server, itself and its own limits in one run.

`python -m tests.benchmarks` prints a table and writes `build/bench.json`. Absolute figures are the machine's; the
ratios are the service's.
"""
