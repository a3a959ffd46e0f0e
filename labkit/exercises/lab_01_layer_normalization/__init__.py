"""Lab 1, layer normalization. x is (B, T, C): samples, positions, channels."""
