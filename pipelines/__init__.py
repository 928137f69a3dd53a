"""Where images and keypoints come from, as tf.data.

`source` says what a source is, `streams` makes batches from one, in the order of `shuffling`.
`scenes/` draws rectangles. `labels/` reads users' labelled images; `image_files`, which also finds
them inside packages and videos, `image_headers` and `folders` are for their files.
"""
