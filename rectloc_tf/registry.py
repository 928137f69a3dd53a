"""The heads, sources, losses and experiments there are: a line for each. No TensorFlow.

A module outside this package adds its own in the same way, before configs are made:
`HEADS["mine"] = HeadSpec("my_package.my_head:MyHead", ...)`.
"""

import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import FRAME

RANKED, NAMED, UNORDERED = "ranked", "named", "unordered"


@dataclass(frozen=True)
class HeadSpec:
    """What must be known of a head before TensorFlow is loaded.

    Attributes:
        implementation: "module:class" of a `heads.head.Head`.
        title: for figures and tables.
        defaults: of the settings whose default is the head's own; `epochs` at least.
        uses: a `config.HeadConfig` -> those of its settings that this head depends on.
        points: which kinds of points it answers (see `config.Keypoints`).
        losses: which of LOSSES it takes, the default first.
        check: refuses a run whose settings do not go together, by a ConfigError.
        shaped_by: what the shapes of its weights depend on beside the depth: fields of a run, and
            `num_keypoints`.
    """

    implementation: str
    title: str
    defaults: Mapping[str, Any]
    uses: Callable[[Any], tuple[str, ...]] = lambda head: ()
    points: tuple[str, ...] = (RANKED, NAMED)
    losses: tuple[str, ...] = ("squared_error", "absolute_error", "huber")
    shaped_by: tuple[str, ...] = ()
    check: Callable[[Any], None] = lambda run: None


@dataclass(frozen=True)
class Words:
    """How people call what a source gives, in tables and pictures.

    Attributes:
        image, set: one of its images, and a set of them that a network is measured on.
        error, unit: the distance of an answer from the truth, and what it is measured in.
        truth, truths: the mark of a single true point, and of several.
        other: what an answer may have been mistaken for.
    """

    image: str = "image"
    set: str = "set"
    error: str = "error"
    unit: str = "px"
    truth: str = "true point"
    truths: str = "true points"
    other: str = "another place"


@dataclass(frozen=True)
class SourceSpec:
    """What must be known of a source of images before TensorFlow is loaded.

    Attributes:
        implementation: "module:class" of a `pipelines.source.Source`.
        label: a run -> the middle part of its folder's name.
        uses: the settings of `config.SOURCE_SETTINGS` that a run on this source depends on.
        words: for people.
        check: refuses a run whose settings do not go together, by a ConfigError.
        keypoints: a run -> what its points are (`config.Keypoints`), so that networks can be
            built without the images; None: the source itself knows.
        reader: "module:function" that reads the files of a run before it starts, see
            `pipelines.source.read_files`; empty for sources without files. What it returns has
            `contents()`, JSON values, `difference(contents)` to earlier ones, and `about()`.
        defaults: of the settings whose default is the source's own.
        ignores: other settings of a run that have no effect on this source.
        place: how files are brought to the working size, a name in `pipelines.resampling.PLACES`.
    """

    implementation: str
    label: Callable[[Any], str]
    uses: tuple[str, ...] = ()
    words: Words = Words()
    check: Callable[[Any], None] = lambda run: None
    keypoints: Callable[[Any], Any] | None = None
    reader: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    ignores: tuple[str, ...] = ()
    place: str = "stretch"


@dataclass(frozen=True)
class FormatSpec:
    """What must be known of a format of exported networks before TensorFlow is loaded.

    Attributes:
        implementation: "module:class" of a `serving.formats.format.Format`.
        extra: of this package, which installs what it needs; empty for none.
        modules, int8_modules: what must be there, always and for int8.
        quantize: how weights may be kept.
        any_precision: whether it computes as the network was trained; else in float32.
    """

    implementation: str
    extra: str = ""
    modules: tuple[str, ...] = ()
    int8_modules: tuple[str, ...] = ()
    quantize: tuple[str, ...] = ("none", "float16", "int8")
    any_precision: bool = False

    def missing(self, quantize: str) -> list[str]:
        """The modules that are not installed, and needed for such weights."""
        needed = (*self.modules, *(self.int8_modules if quantize == "int8" else ()))
        return [module for module in needed if importlib.util.find_spec(module) is None]


def _disc_holds_a_cell(run: Any) -> None:
    """Refuses discs that may lie between the cells of a score map."""
    least = run.stride / math.sqrt(2) * FRAME / run.image_size
    if run.radius < least:
        raise ConfigError(
            f"--radius={run.radius:g}: must be {math.ceil(10 * least) / 10:g} or more at "
            f"--image_size={run.image_size} --stride={run.stride}, or a disc may hold no cell"
        )


def _can_be_drawn_and_answered(run: Any) -> None:
    """Refuses sides that leave no scenes, and points without an order for heads that need one."""
    run.check_sides()
    if run.withheld and run.augment:
        raise ConfigError("--withheld: --augment would show what is withheld; leave one out")
    if run.labels == UNORDERED and UNORDERED not in HEADS[run.arch].points:
        able = " or ".join(f"--arch={n}" for n, spec in HEADS.items() if UNORDERED in spec.points)
        why = f"--arch={run.arch} cannot predict unordered points"
        raise ConfigError(f"--labels=unordered: {why}; use {able}")


def _has_labels(run: Any) -> None:
    """Refuses images without labels, and heads that cannot answer named keypoints."""
    if not run.data:
        raise ConfigError("--source=images: name the label file or its folder, --data=PATH")
    if NAMED not in HEADS[run.arch].points:
        raise ConfigError(f"--arch={run.arch}: cannot predict {NAMED} points")


HEADS: dict[str, HeadSpec] = {
    "xy": HeadSpec(
        "rectloc_tf.heads.xy:XY",
        "coordinates (xy)",
        {"epochs": 40},
        lambda head: ("units",),
        shaped_by=("num_keypoints",),
    ),
    "deconv": HeadSpec(
        "rectloc_tf.heads.deconv:Deconv",
        "heatmap (deconv)",
        {"epochs": 100, "radius": 7.0},
        lambda head: ("target", "radius" if head.target == "disc" else "sigma", "peak"),
        (RANKED, NAMED, UNORDERED),
        shaped_by=("image_size",),
    ),
    "score_map": HeadSpec(
        "rectloc_tf.heads.score_map:ScoreMap",
        "score map (score_map)",
        {"epochs": 40, "radius": 10.0},
        lambda run: ("radius", "stride", "positive_weight", "offset_weight", "votes", "batch_norm"),
        (RANKED, NAMED, UNORDERED),
        ("sigmoid_cross_entropy",),
        shaped_by=("stride", "batch_norm", "num_keypoints"),
        check=_disc_holds_a_cell,
    ),
    "dsnt": HeadSpec(
        "rectloc_tf.heads.dsnt:DSNT",
        "expected coordinate (dsnt)",
        {"epochs": 40, "batch_norm": True},
        lambda head: ("stride", "regularizer_weight", "batch_norm"),
        losses=("jensen_shannon", "kl_divergence"),
        shaped_by=("stride", "batch_norm", "num_keypoints"),
    ),
    "simcc": HeadSpec(
        "rectloc_tf.heads.simcc:SimCC",
        "coordinate classes (simcc)",
        {"epochs": 40, "batch_norm": True, "sigma": 2.5},
        lambda head: ("stride", "sigma", "splitting", "batch_norm"),
        losses=("kl_divergence", "jensen_shannon"),
        shaped_by=("image_size", "stride", "splitting", "batch_norm", "num_keypoints"),
    ),
}

SOURCES: dict[str, SourceSpec] = {
    "scenes": SourceSpec(
        "pipelines.scenes.source:Scenes",
        lambda run: f"d{run.domain}",
        ("data_seed", "domain", "min_side", "max_side", "solid", "labels", "withheld"),
        Words(
            image="scene",
            set="domain",
            error="centre error",
            unit="px of 224",
            truth="true centre of the largest",
            truths="true centres",
            other="another rectangle",
        ),
        _can_be_drawn_and_answered,
        lambda run: run.scene_keypoints,
    ),
    "images": SourceSpec(
        "pipelines.labels.source:LabelledSource",
        lambda run: "images",
        (
            "data", "keypoints", "individual", "split_by", "fold", "num_labelled", "split_sizes",
            "channels", "swap", "rotate", "zoom", "shift", "brightness", "contrast",
        ),
        Words(unit="px of the file"),
        _has_labels,
        lambda run: run.image_keypoints,
        "pipelines.labels.reading:read_run",
        {
            "augment": True, "batch_size": 16, "steps": 1500, "validate_steps": 250,
            "schedule": "cosine", "batch_norm": True, "offset_weight": 1.0,
            "votes": 5,
        },
        ("num_images",),
        "letterbox",
    ),
}  # fmt: skip

LOSSES: dict[str, str] = {
    "squared_error": "rectloc_tf.heads.losses:squared_error",
    "absolute_error": "rectloc_tf.heads.losses:absolute_error",
    "huber": "rectloc_tf.heads.losses:huber",
    "sigmoid_cross_entropy": "rectloc_tf.heads.losses:sigmoid_cross_entropy",
    "jensen_shannon": "rectloc_tf.heads.losses:jensen_shannon",
    "kl_divergence": "rectloc_tf.heads.losses:kl_divergence",
}

FORMATS: dict[str, FormatSpec] = {
    "saved_model": FormatSpec(
        "rectloc_tf.serving.formats.saved_model:SavedModel", quantize=("none",), any_precision=True
    ),
    "onnx": FormatSpec(
        "rectloc_tf.serving.formats.onnx:Onnx", "onnx", ("tf2onnx", "onnx", "onnxruntime")
    ),
    "litert": FormatSpec(
        "rectloc_tf.serving.formats.litert:LiteRt",
        "litert",
        ("ai_edge_litert",),
        ("ai_edge_quantizer",),
    ),
    "openvino": FormatSpec(
        "rectloc_tf.serving.formats.openvino:OpenVino",
        "openvino",
        ("openvino",),
        ("nncf", "tf2onnx", "onnx"),
    ),
}

# The experiments, in the order in which they are made and shown: each has a module of its name in
# `experiments/` and in `figures/`. To each the flags that only some of them use.
EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "headline": (),
    "original_settings": (),
    "prediction_epochs": (),
    "architectures": (),
    "cross_domain": ("domains",),
    "data_efficiency": ("fractions", "updates", "long_fractions", "long_updates"),
    "hyperparameter_sweep": ("batch_sizes", "learning_rates", "depths"),
    "multiple_locations": ("domains",),
    "more_labels": (),
    "target_density": (),
    "find_all": ("domains",),
    "heads": (),
    "decoders": (),
    "collapse": (),
}


def load(implementation: str) -> Any:
    """What "module:name" refers to; imports the module."""
    module, _, name = implementation.partition(":")
    return getattr(importlib.import_module(module), name)
