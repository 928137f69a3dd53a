"""Labelled images of users: read, checked and split. No TensorFlow.

`read` makes a `labelled.LabelledImages` from label files, and a `ledger.Ledger` that accounts for
every label in them; `csv_labels`, `coco_labels` and `slp_labels` know the formats, `find_images`
where the images lie. `splits` says what is trained on, `checks` what is likely a mistake.
"""
