"""Exports in the forms of other tools (`fsearch export --to`): one file a form, listed in `registry.py`."""
