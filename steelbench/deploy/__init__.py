"""Using a finished model."""
