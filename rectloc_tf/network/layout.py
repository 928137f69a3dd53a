"""What a ResNet of each depth consists of, by name and shape. No TensorFlow."""

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
FILTERS = (64, 128, 256, 512)
STEM = "conv1"
BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")  # in the order Keras saves them


def has_bottlenecks(depth: int) -> bool:
    """Whether its blocks are 1x1, 3x3, 1x1 convolutions instead of two of 3x3."""
    return depth == 50


def units(depth: int) -> dict[str, tuple[int, int, int]]:
    """The convolutions of a ResNet for colour images, each followed by a batch normalisation.

    Args:
        depth: 18, 34 or 50.

    Returns:
        name -> (kernel size, input channels, filters). The layers are called `<name>_conv` and
        `<name>_bn`.
    """
    inputs = FILTERS[0]
    found = {STEM: (7, 3, inputs)}
    for stack, (filters, blocks) in enumerate(zip(FILTERS, BLOCKS[depth], strict=True)):
        outputs = 4 * filters if has_bottlenecks(depth) else filters
        for block in range(blocks):
            name = f"stack{stack}_block{block}"
            if inputs != outputs:
                found[f"{name}_0"] = (1, inputs, outputs)
            if has_bottlenecks(depth):
                found[f"{name}_1"] = (1, inputs, filters)
                found[f"{name}_2"] = (3, filters, filters)
                found[f"{name}_3"] = (1, filters, outputs)
            else:
                found[f"{name}_1"] = (3, inputs, filters)
                found[f"{name}_2"] = (3, filters, filters)
            inputs = outputs
    return found


def variables(depth: int) -> dict[str, tuple[int, ...]]:
    """The variables of a ResNet for colour images: `<layer>/<variable>` -> shape."""
    found: dict[str, tuple[int, ...]] = {}
    for name, (size, inputs, filters) in units(depth).items():
        found[f"{name}_conv/kernel"] = (size, size, inputs, filters)
        found |= {f"{name}_bn/{variable}": (filters,) for variable in BATCH_NORM}
    return found
