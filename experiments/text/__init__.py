"""Text detection: from photographs with words to a DB head's labels, and from its maps to words.

Counts are pooled over a split, as ICDAR 2015 has it.
"""

VALIDATED = ("H_mean", "precision", "recall", "P_textfree")  # metrics of a validation
MEASURED = (*VALIDATED, "H_published")  # and of a test
