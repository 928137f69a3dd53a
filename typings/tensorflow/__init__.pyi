# The type checker takes everything of TensorFlow as it comes: the stubs that there are for it are
# wrong about slices, shapes, variables and gradients.
from typing import Any

def __getattr__(name: str) -> Any: ...
