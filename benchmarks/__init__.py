"""What the toolkit costs, and what the same number costs elsewhere: ``python -m benchmarks``."""
