"""The gate: rules that a release must keep, three outcomes, and the files that a build server reads."""
