"""Whole networks in a layout whose vectors are always aligned: 16 lanes of images, or of parts of one image."""
