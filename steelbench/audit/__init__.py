"""The audit of a data set: images that share pixels, shortcuts, suspicious labels. Knows no network."""
