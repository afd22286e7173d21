"""The terminal side of the command line: options, progress bars, tables, exit codes."""
