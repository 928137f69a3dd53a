# There with an extra only (setup.cfg): the type checker says the same with and without it.
from typing import Any

def __getattr__(name: str) -> Any: ...
