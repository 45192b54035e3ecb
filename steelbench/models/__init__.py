"""Networks: backbones and their weights, encoders, heads, losses, saved models."""
