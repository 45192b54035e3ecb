"""Training: the loop, the methods that use it, and the baselines they are compared with."""
