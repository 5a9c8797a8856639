"""Parsed games to packed tensors on disk, and batches of windows out of them."""
