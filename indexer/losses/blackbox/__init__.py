"""The black box itself, run by us: one kind of model a file, behind the small interface in model.py."""
