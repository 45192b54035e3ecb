"""The jobs of a run as tasks on a Ray cluster."""
