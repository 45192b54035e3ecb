"""How well classes lie apart in an embedding: retrieval, few shots, projection."""
