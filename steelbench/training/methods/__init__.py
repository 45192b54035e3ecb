"""What is learned: one file for each method of `METHODS`, named by its key."""
