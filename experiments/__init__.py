"""Grids of training runs: definition, ledger, training, evaluation."""
