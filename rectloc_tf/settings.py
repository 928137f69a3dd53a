"""Settings: dataclass fields that know what they accept and what they mean.

A config's field is declared once, with its kind and its help. Validation, the command line's flags
and their help are generated from that.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from rectloc_tf.errors import ConfigError


@dataclass(frozen=True)
class OneOf:
    """One of some strings or numbers; a dict's keys if a dict is given."""

    values: Any

    def accepts(self, value: Any) -> bool:
        """Whether it is one of them; True and 1.0 are not 1."""
        return any(type(value) is type(other) and value == other for other in self.values)

    @property
    def rule(self) -> str:
        """What is accepted, in words."""
        return "one of " + ", ".join(str(value) for value in self.values)


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`, a multiple of `step`."""

    low: int
    high: int
    step: int = 1

    def accepts(self, value: Any) -> bool:
        """Whether it is such a number; booleans are none."""
        return type(value) is int and self.low <= value <= self.high and value % self.step == 0

    @property
    def rule(self) -> str:
        """What is accepted, in words."""
        kind = "a whole number" if self.step == 1 else f"a multiple of {self.step}"
        return f"{kind} from {self.low} to {self.high}"


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`; without limits, any finite number above 0."""

    low: float | None = None
    high: float = math.inf
    unit: str = ""

    def accepts(self, value: Any) -> bool:
        """Whether it is such a number; booleans and NaN are none."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return 0 < value < math.inf if self.low is None else self.low <= value <= self.high

    @property
    def rule(self) -> str:
        """What is accepted, in words."""
        span = "above 0" if self.low is None else f"from {self.low:g} to {self.high:g}"
        return f"a number {span}{self.unit and f' ({self.unit})'}"


@dataclass(frozen=True)
class Switch:
    """True or False."""

    rule = "true or false"

    def accepts(self, value: Any) -> bool:
        """Whether it is a boolean."""
        return isinstance(value, bool)


@dataclass(frozen=True)
class Text:
    """A string, described by `rule`."""

    rule: str

    def accepts(self, value: Any) -> bool:
        """Whether it is a string."""
        return isinstance(value, str)


Kind = OneOf | Whole | Number | Switch | Text


@dataclass(frozen=True)
class Setting:
    """What a field's metadata holds.

    Attributes:
        kind: what it accepts.
        help: what it means, for people.
        by_head: the default of heads and sources that have none of their own; None: the field's
            default holds for all.
        later: it came after the first runs, and is part of what a run is only where it is not at
            its default, so that older runs keep their names.
    """

    kind: Kind
    help: str
    by_head: Any = None
    later: bool = False


def setting(
    kind: Kind, default: Any, help: str, *, by_head: Any = None, later: bool = False
) -> Any:
    """A dataclass field; see `Setting`. With `by_head` its default must be None."""
    metadata = {"setting": Setting(kind, help, by_head, later)}
    return dataclasses.field(default=default, metadata=metadata)


def settings_of(config: Any) -> dict[str, Setting]:
    """The settings of a config or its class, by field name."""
    return {field.name: field.metadata["setting"] for field in dataclasses.fields(config)}


def require(condition: bool, name: str, value: Any, rule: str) -> None:
    """Raises a `ConfigError` that names the flag, unless the condition holds."""
    if not condition:
        raise ConfigError(f"--{name}={value}: must be {rule}")


def validate(config: Any) -> None:
    """Checks every field of a config by its kind; whole numbers become floats where those belong.

    Raises:
        ConfigError: naming the first flag that is wrong.
    """
    for name, found in settings_of(config).items():
        value = getattr(config, name)
        require(found.kind.accepts(value), name, value, found.kind.rule)
        if isinstance(found.kind, Number):  # 7 and 7.0 are the same run, and so are 0.0 and -0.0
            object.__setattr__(config, name, float(value) + 0.0)


def part_of(config: Any, cls: type) -> Any:
    """The smaller config `cls` whose fields are all among those of `config`."""
    return cls(**{field.name: getattr(config, field.name) for field in dataclasses.fields(cls)})
