"""Answer questions: embed text, score, rank, present."""
