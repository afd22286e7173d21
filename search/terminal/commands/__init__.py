"""Groups of commands of the command line that have sub-commands of their own; cli.py puts them together."""
