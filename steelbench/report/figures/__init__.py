"""Figures of the report, drawn from records."""
