"""Trained networks in use: inference graphs, exports, predictions on image files."""
