"""Losses of a black box: read from a file, computed from predictions, or by running the model."""
