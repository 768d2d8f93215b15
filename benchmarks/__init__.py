"""Measurements, each one command: `python -m benchmarks.NAME`. See benchmarks/README.md."""
