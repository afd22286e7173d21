"""Task losses: one definition a file, all listed in registry.py. Each gives one number an image; higher is worse."""
