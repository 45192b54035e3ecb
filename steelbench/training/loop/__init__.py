"""How an epoch runs: batches, optimizer, fit, checkpoints."""
