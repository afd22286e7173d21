"""Scenes in another style than the demo's portraits, and a mediocre encoder of them that nothing was tuned to."""
