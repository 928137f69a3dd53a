"""tf.data input: scenes are sampled, rendered, turned into targets and batched.

`sampling` -> `render` -> `targets` -> `datasets`; each module uses only those before it.
"""
