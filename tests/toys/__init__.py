"""A head and a source that the package knows nothing of: one module each, and a line in a registry.

Importing this registers nothing and loads no TensorFlow.
"""

from rectloc_tf.registry import HEADS, SOURCES, HeadSpec, SourceSpec

TOY = HeadSpec("tests.toys.head:Toy", "softmax (toy)", {"epochs": 3}, shaped_by=("num_keypoints",))
DOTS = SourceSpec("tests.toys.dots:Dots", lambda run: "dots")


def register() -> None:
    """Adds both to the registries, before configs are made."""
    HEADS["toy"], SOURCES["dots"] = TOY, DOTS
