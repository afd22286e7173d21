"""Comparison of two models on the same images: the question, its answers, and how they are stored."""
