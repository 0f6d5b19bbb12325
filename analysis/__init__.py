"""From a finished grid to its tables and figures: reads what a run wrote, needs no torch.

`load` reads the runs as one long table, `stats` holds the statistics, `summary` applies them to
a grid, `tables` and `figures` print and draw, `report` writes everything.
"""
