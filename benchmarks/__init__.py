"""Every figure in the README comes from here: `make bench`, or `python -m benchmarks.NAME` for one of them."""
