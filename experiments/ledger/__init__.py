"""Which cells are done and who runs the others: an Optuna study that many processes share."""
