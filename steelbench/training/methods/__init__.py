"""Methods: one file for each key of `METHODS`, and what they share."""
