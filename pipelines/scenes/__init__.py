"""Scenes of rectangles: sampled as numbers, then drawn."""
