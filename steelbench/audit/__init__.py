"""Looks at the data: images that share pixels, shortcuts, labels that look wrong. Knows no network."""
