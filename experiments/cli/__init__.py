"""The command line of `experiments/run.py`: options, the job they name, lists and estimates."""
