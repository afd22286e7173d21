"""Turn images and losses into a workspace, and read a workspace back."""
