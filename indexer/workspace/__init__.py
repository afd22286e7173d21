"""A workspace as a whole: open, lock, check, repair and compact it; which encoder and which sources it belongs to."""
