"""The parts of the registration benchmark: pairs of images, methods, one process a run, the table."""
