"""Heads: one module each, from the last layers to the points that are read from their outputs.

`registry.HEADS` lists them. `head` says what a head is, `losses` what training may minimise, and
`peaks` finds blobs in maps. This package itself loads no TensorFlow.
"""
