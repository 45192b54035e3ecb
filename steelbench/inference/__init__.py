"""Inference with a saved model: predict, search similar images, enroll classes."""
