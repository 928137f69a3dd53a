"""The definitions of all flags, made when this module is imported; `cli` reads their values."""

import dataclasses
from typing import Any

from absl import flags

from rectloc_tf import config
from rectloc_tf.registry import FORMATS
from rectloc_tf.settings import Number, OneOf, Setting, Switch, Text, Whole

# The original's training-set sizes, as shares of 10,000 images.
FRACTIONS = "0.0005,0.001,0.002,0.003,0.005,0.0075,0.01,0.0175,0.025,0.07,0.2,0.5,1"


def _define_flags(cls: type) -> None:
    """Defines the flag of each field of a config, as the field's setting describes it."""
    for field in dataclasses.fields(cls):
        found: Setting = field.metadata["setting"]
        about: tuple[str, Any] = (field.name, field.default)
        match found.kind:
            case OneOf(values) if all(isinstance(value, str) for value in values):
                flags.DEFINE_enum(*about, list(values), found.help)
            case OneOf() | Whole():
                flags.DEFINE_integer(*about, found.help)
            case Number():
                flags.DEFINE_float(*about, found.help)
            case Switch():
                flags.DEFINE_bool(*about, found.help)
            case Text():
                flags.DEFINE_string(*about, found.help)


_define_flags(config.RunConfig)
_define_flags(config.ExecutionConfig)
flags.DEFINE_multi_string(
    "run_dir",
    None,
    "Run folder; default: runs/<arch>-<source>-<hash of the run's flags>, with d<domain> as source "
    "for scenes. serve: may be repeated.",
)

# evaluate, predict, export and serve.
flags.DEFINE_enum("weights", "best", ("best", "final"), "Which of the run's two models to use.")
flags.DEFINE_list(
    "domains", None,
    "evaluate: domains to test on (default: the run's own); experiments: default 1 to 5.",
)  # fmt: skip
flags.DEFINE_enum("split", "test", config.SPLITS, "evaluate, predict: which split to use.")
flags.DEFINE_string(
    "output",
    None,
    "evaluate, benchmark: JSON file; predict: CSV file (default: predictions.csv); check_labels: "
    "PNG file; convert_labels: CSV or JSON file.",
)  # fmt: skip
flags.DEFINE_string(
    "images", None,
    "predict: PNG and JPEG files: a file, a folder, a quoted pattern, or a comma-separated list.",
)  # fmt: skip
flags.DEFINE_string(
    "video", None,
    "predict: a video; suggest_frames: a video, or a comma-separated list.",
)  # fmt: skip
flags.DEFINE_string(
    "overlay_video", None, "predict: MP4 file to write, with predictions drawn on --video."
)
flags.DEFINE_bool("ignore_exif", False, "predict: do not apply EXIF orientation.")
flags.DEFINE_float(
    "threshold", None,
    "predict, evaluate, serve: minimum confidence of a detection, for runs with --labels=unordered."
    " By default the one with the greatest F1 on the run's validation images.",
    lower_bound=0, upper_bound=1,
)  # fmt: skip
flags.DEFINE_float(
    "min_confidence", 0.0,
    "predict: minimum confidence of a keypoint that is drawn; the CSV has all.",
    lower_bound=0, upper_bound=1,
)  # fmt: skip
flags.DEFINE_integer(
    "num", 16, "predict: number of images of the split; suggest_frames: frames per video.",
    lower_bound=1,
)  # fmt: skip
flags.DEFINE_string("overlay_dir", None, "predict: folder for images with predictions drawn.")
flags.DEFINE_string("export_dir", None, "export: folder for the numbered versions.")
flags.DEFINE_enum("format", "saved_model", list(FORMATS), "export: file format.")
flags.DEFINE_enum(
    "quantize", "none", ("none", "float16", "int8"),
    "export: how weights are stored; int8 also computes the backbone in 8 bits.",
)  # fmt: skip
flags.DEFINE_string("host", "127.0.0.1", "serve: address to listen on; 0.0.0.0 for all networks.")
flags.DEFINE_list(
    "allowed_hosts", "",
    "serve: host names that browsers may use, besides localhost and its addresses.",
)  # fmt: skip
flags.DEFINE_integer("port", 8501, "serve: port to listen on; 0 for any free port.", 0, 65535)

# Labelled images of users.
flags.DEFINE_string(
    "output_dir", None,
    "suggest_frames: folder for the frames, with a subfolder per video; label_budget: folder for "
    "the results (default: label_budget).",
)  # fmt: skip
flags.DEFINE_string(
    "scorer", "rectloc_tf", "suggest_frames: the scorer in DeepLabCut's config.yaml."
)
flags.DEFINE_string(
    "images_root", "", "Folder of the images; default: the label file's folder and its parents."
)

flags.DEFINE_string(
    "images_dir", None,
    "convert_labels: folder for PNG files of images inside a package or a video.",
)  # fmt: skip

# experiments.
flags.DEFINE_list("seeds", "0,1", "experiments: seeds of repeated runs; label_budget: default 0.")
flags.DEFINE_list(
    "fractions", FRACTIONS, "data_efficiency: numbers of images, as shares of 10,000."
)
flags.DEFINE_list("batch_sizes", "8,16,32,64,128,256,512", "hyperparameter_sweep: values.")
flags.DEFINE_list("learning_rates", "1e-5,1e-4,1e-3,1e-2,1e-1", "hyperparameter_sweep: values.")
flags.DEFINE_list("depths", "18,34,50", "hyperparameter_sweep: values.")
flags.DEFINE_integer("updates", 625, "data_efficiency: optimiser steps per run.", lower_bound=1)
flags.DEFINE_list(
    "long_fractions", "0.025,0.07,0.2,0.5", "data_efficiency: --fractions of the longer runs."
)
flags.DEFINE_integer(
    "long_updates", 1500, "data_efficiency: optimiser steps per longer run.", lower_bound=1
)
flags.DEFINE_integer(
    "plain_epochs", None, "headline: epochs of plain runs; default: --epochs.", lower_bound=1
)
flags.DEFINE_integer(
    "short_epochs", None,
    "experiments: epochs of the many short runs; default: --plain_epochs.", lower_bound=1,
)  # fmt: skip
flags.DEFINE_string("runs_root", "runs", "experiments: folder for the run folders.")
flags.DEFINE_string("results_dir", "figures/results", "experiments: folder for the summaries.")
flags.DEFINE_string("figures_dir", "figures", "experiments: folder for the figures.")
flags.DEFINE_bool("dry_run", False, "experiments: only list the runs and their cost.")
flags.DEFINE_enum(
    "runner", "local", ("local", "ray"),
    "experiments: make the runs one after the other in this process, or on a Ray cluster (such "
    "as the one in RAY_ADDRESS).",
)  # fmt: skip
flags.DEFINE_integer("task_cpus", 1, "--runner=ray: CPU cores per run.", lower_bound=1)
flags.DEFINE_float(
    "task_gpus", None,
    "--runner=ray: GPUs per run, or a fraction of one; default: 1 if there are any.",
    lower_bound=0,
)  # fmt: skip
flags.DEFINE_string(
    "shard", None,
    "experiments: i/n makes the i-th of n parts of the runs, from 1/n to n/n, for example one "
    "part per job of a scheduler.",
)  # fmt: skip
flags.DEFINE_list(
    "runs", None,
    "experiments: make only these runs, named as in --dry_run, without summarising them.",
)  # fmt: skip

# label_budget.
flags.DEFINE_list("archs", "score_map", "label_budget: heads to compare.")
flags.DEFINE_list(
    "sizes", None,
    "label_budget: numbers of labelled images; default: all outside the test part, and that "
    "number halved up to three times.",
)  # fmt: skip
flags.DEFINE_integer("folds", 3, "label_budget: folds of the cross-validation.", 2, 999)
flags.DEFINE_integer(
    "more_labels", 0, "label_budget: number of images you may label next; 0: as many again.", 0
)

# benchmark.
flags.DEFINE_enum(
    "suite",
    "all",
    ("input", "train", "sweep", "end_to_end", "serve", "live", "all"),
    "benchmark: what to measure.",
)
flags.DEFINE_integer("rounds", 3, "benchmark: rounds per worker.", lower_bound=1)
