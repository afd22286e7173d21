"""Where images come from: one adapter a file, all behind the small interface in item.py."""
