"""One file a grid: its docstring is the question, its GRID the pre-registration."""
