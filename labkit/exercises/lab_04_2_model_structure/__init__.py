"""Lab 4.2, the model.

images are (B, C, H, W); N patches of P × P pixels become tokens of width D.
"""
