"""Every figure in docs/benchmarks.md comes from here: `make bench`, or `python -m benchmarks.NAME` for one of them."""
