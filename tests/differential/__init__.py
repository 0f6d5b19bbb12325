"""Every loss against the published formula it stands for, and against numbers worked by hand."""
