"""Draw the figures and write the pages from the records of a results folder, without TensorFlow."""
