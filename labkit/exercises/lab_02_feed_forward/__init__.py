"""Lab 2, the feed-forward network.

x is (B, T, D): samples, tokens, width; H is the hidden width.
"""
