# The type checker takes everything of Keras as it comes: it has no stubs, and what is inferred from
# its source mixes all its backends.
from typing import Any

def __getattr__(name: str) -> Any: ...
