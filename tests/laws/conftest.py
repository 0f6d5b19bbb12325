"""One thread an operation: the maps are tiny, and threads cost more than they bring."""

import torch

torch.set_num_threads(1)
