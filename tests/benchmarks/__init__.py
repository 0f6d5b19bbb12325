"""Speed and memory of the losses: ``python -m tests.benchmarks`` from the project's root."""
