"""Measurements beside what people use instead; `python -m benchmarks` runs them all."""
