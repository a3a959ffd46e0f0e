"""Lab 4.3, the [class] token. tokens are (B, N + 1, D), the [class] token first."""
