"""The command line: `steelbench` and its commands."""
