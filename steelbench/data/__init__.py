"""Images from folders to arrays: readers, decoding, splits. Knows no TensorFlow."""
