"""Numbers from predictions. Knows no TensorFlow."""
