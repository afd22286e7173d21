"""Nearest neighbours: which FAISS index, how it is made, what it finds, and how much of the truth that is."""
