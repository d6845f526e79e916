"""Measurements: `python -m benchmarks` makes docs/performance.md, `python -m benchmarks.tune` finds learning rates."""
