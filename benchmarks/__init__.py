"""What measures speed and memory; `python -m benchmarks` runs all, `python -m benchmarks.NAME` one."""
