"""Scenes of rectangles: `sampling` chooses them, `symmetries` moves them, `render` draws them."""
