"""How it is trained: engines, features, the fit harness, processes."""
