"""Worlds where it is known on what a model fails, and how well each method finds it."""
