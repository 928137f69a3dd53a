"""Where images and keypoints come from, as tf.data.

`source` says what a source is, `streams` makes batches from one, in the order of `shuffling`.
`scenes/` draws rectangles.
"""
