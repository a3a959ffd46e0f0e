"""Lab 4.1, from the image to the sequence.

Images are (B, C, H, W): samples, channels, height, width. P is the side of a patch,
N = (H / P) · (W / P) the number of patches, D the width of a token.
"""
