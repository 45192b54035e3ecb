"""The training loop: samplers, input pipeline, optimizer, fit, checkpoints."""
