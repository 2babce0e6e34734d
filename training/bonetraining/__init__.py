"""Training of a bone network on generated patients."""
