"""MSK Fusion: images, registration and segmentation for musculoskeletal planning."""

__version__ = "0.1.0"
