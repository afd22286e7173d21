"""Loss functions by family, all listed in registry.py. Each gives one number per image; higher is worse."""
