"""Pieces of the segmentation benchmark."""
