"""Black boxes that fsearch runs: one kind of model per file, behind the small interface in base.py."""
