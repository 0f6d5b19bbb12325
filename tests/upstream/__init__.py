"""Published losses retyped with torch alone, defects included.

Nothing here imports the package: these are what its losses are compared with and timed against.
Maps are (B,1,H,W): ``z`` logits, ``p`` probabilities, ``t`` targets, ``m`` masks of 0 and 1.
"""
