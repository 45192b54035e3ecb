"""What is trained and saved: backbones, weights, heads, artifacts."""
