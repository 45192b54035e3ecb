"""One module for each command of `steelbench`, imported when the command runs."""
