"""The demo's black box: a small classifier ("is this person smiling?") that was trained on a biased sample."""
