"""Discovery on planted worlds: what fails is in nobody's list."""
