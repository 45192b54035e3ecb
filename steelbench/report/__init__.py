"""Figures and the page, a pure function of the records. Knows no TensorFlow."""
