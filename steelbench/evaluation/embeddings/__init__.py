"""Measure and map how far classes lie apart in an embedding: retrieval, few shots, projection."""
