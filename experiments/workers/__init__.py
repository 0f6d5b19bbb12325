"""The processes that run cells: on this machine, on a cluster, under torchrun."""
