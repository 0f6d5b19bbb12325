"""Masks or words of a folder of images, by a trained model: `python -m experiments.predict`."""
