"""Data sets of images: one adapter a file, all behind the small interface in base.py; resolve.py chooses among them."""
