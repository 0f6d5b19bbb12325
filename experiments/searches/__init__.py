"""The searches: one file each, its docstring the question, SEARCH what is tried."""
