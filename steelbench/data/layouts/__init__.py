"""The layouts of data sets: one file for each, from a folder or a table to labelled samples."""
