"""Formats of exported networks, a module each; `registry.FORMATS` lists them.

Each has the same graph: pixels in, points and confidences out. Writers need TensorFlow, loaders
the format's own runtime alone; neither is imported before it is needed.
"""
