"""What ships beside the code: the demo's encoder, black box and portraits, and starter files of hypotheses."""
