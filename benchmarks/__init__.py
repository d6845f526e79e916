"""Side-by-side measurements: `python -m benchmarks` makes docs/performance.md; `benchmarks.tune` finds learning rates."""
