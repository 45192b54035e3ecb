"""Formats that a saved model is exported to."""
