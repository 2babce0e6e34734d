"""Data shared by both modules: implants, printers, guide presets, terminology."""
