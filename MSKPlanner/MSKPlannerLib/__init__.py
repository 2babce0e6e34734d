"""MSK Planner: screws, guides, checks and export on what MSK Fusion left in the scene."""
