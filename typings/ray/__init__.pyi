# Ray is there with the extra [ray] only: the type checker says the same with and without it.
from typing import Any

def __getattr__(name: str) -> Any: ...
