"""How a run is carried out."""

from dataclasses import dataclass

from rectloc_tf.errors import ConfigError
from rectloc_tf.settings import Number, OneOf, Switch, Whole, setting, validate

STRATEGIES = ("auto", "single", "mirrored", "tpu", "multi_worker")
JITS = ("auto", "on", "off")
RENDERERS = ("graph", "opencv")
PLACES = ("auto", "host", "device")


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """How a run is carried out: nothing here changes what the run is."""

    strategy: str = setting(
        OneOf(STRATEGIES), "auto",
        "tf.distribute strategy; multi_worker: the machines listed in TF_CONFIG.",
    )  # fmt: skip
    jit: str = setting(OneOf(JITS), "auto", "Compile with XLA; auto: on a single GPU.")
    renderer: str = setting(
        OneOf(RENDERERS), "graph", "How images are drawn; opencv: same pixels, slower."
    )
    render_on: str = setting(
        OneOf(PLACES), "auto",
        "Draw training images on the host, in parallel with the step, or on the device, inside the "
        "step; auto times both.",
    )  # fmt: skip
    steps_per_call: int = setting(
        Whole(0, 1000), 0,
        "Training steps per compiled call; signals and the checkpoint clock are checked between "
        "calls. 0: 1 on CPUs, 20 on GPUs and TPUs.",
    )  # fmt: skip
    deterministic: bool = setting(Switch(), False, "Bitwise repeatable training.")
    checkpoint_minutes: float = setting(
        Number(), 5.0, "Minutes between checkpoints within an epoch."
    )

    def __post_init__(self):
        validate(self)
        if self.renderer == "opencv" and self.render_on == "device":
            raise ConfigError("--render_on=device: OpenCV draws on the host; use --renderer=graph")
        if self.jit == "on" and self.deterministic:
            raise ConfigError(
                "--jit=on: XLA has no deterministic gradient of max pooling; leave out "
                "--deterministic, or use --jit=off"
            )
