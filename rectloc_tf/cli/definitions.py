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
    "Run folder; runs/<arch>-<source>-<hash of the run's flags> if left out, d<domain> for scenes. "
    "serve: may be given several times.",
)

# evaluate, predict, export and serve.
flags.DEFINE_enum("weights", "best", ("best", "final"), "Which of the run's two models to use.")
flags.DEFINE_list(
    "domains", None,
    "evaluate: domains to test on, the run's own if left out; cross_domain: 1 to 5 if left out.",
)  # fmt: skip
flags.DEFINE_enum("split", "test", config.SPLITS, "evaluate, predict: the split of the scenes.")
flags.DEFINE_string(
    "output",
    None,
    "evaluate, benchmark: JSON file; predict: CSV file; check_labels: PNG file; convert_labels: "
    "CSV or JSON file.",
)  # fmt: skip
flags.DEFINE_string(
    "images", None,
    "predict: PNG and JPEG files: a file, a folder, a pattern (quote it), or several with commas.",
)  # fmt: skip
flags.DEFINE_string(
    "video", None,
    "predict: a video, all of whose frames are answered; suggest_frames: one, or several with "
    "commas.",
)  # fmt: skip
flags.DEFINE_string(
    "overlay_video", None, "predict: MP4 file with the answers drawn on the frames of --video."
)
flags.DEFINE_bool("ignore_exif", False, "predict: do not turn pictures as their EXIF data says.")
flags.DEFINE_float(
    "threshold", 0.5,
    "predict, serve: least confidence of a detection that is shown, after --labels=unordered.",
    lower_bound=0, upper_bound=1,
)  # fmt: skip
flags.DEFINE_float(
    "min_confidence", 0.0,
    "predict: keypoints that are less certain are not drawn; the CSV has all.",
    lower_bound=0, upper_bound=1,
)  # fmt: skip
flags.DEFINE_integer(
    "num", 16, "predict: number of the source's images; suggest_frames: frames of each video.",
    lower_bound=1,
)  # fmt: skip
flags.DEFINE_string("overlay_dir", None, "predict: folder for pictures with the answers.")
flags.DEFINE_string("export_dir", None, "export: folder that holds the numbered versions.")
flags.DEFINE_enum("format", "saved_model", list(FORMATS), "export: format of the network.")
flags.DEFINE_enum(
    "quantize", "none", ("none", "float16", "int8"),
    "export: how weights are kept; int8 also computes with them, in the backbone.",
)  # fmt: skip
flags.DEFINE_string("host", "127.0.0.1", "serve: address to listen on; 0.0.0.0 for all networks.")
flags.DEFINE_list(
    "allowed_hosts", "",
    "serve: names by which browsers may call it, beside localhost and its addresses.",
)  # fmt: skip
flags.DEFINE_integer("port", 8501, "serve: port to listen on; 0 for any that is free.", 0, 65535)

# Labelled images of users.
flags.DEFINE_string(
    "output_dir", None,
    "suggest_frames: folder that gets a folder of frames for each video; label_budget: folder of "
    "what it finds, label_budget if left out.",
)  # fmt: skip
flags.DEFINE_string(
    "scorer", "rectloc_tf", "suggest_frames: who will label; DeepLabCut's config.yaml says it."
)
flags.DEFINE_string("images_root", "", "Folder of the images; if left out, near the label file.")

flags.DEFINE_string(
    "images_dir", None,
    "convert_labels: folder for images that lie inside a package or a video, as PNG files.",
)  # fmt: skip

# experiments.
flags.DEFINE_list(
    "seeds", "0,1", "experiments: seeds of the runs that are repeated; label_budget: 0 if left out."
)
flags.DEFINE_list("fractions", FRACTIONS, "data_efficiency: pool sizes, shares of 10,000.")
flags.DEFINE_list("batch_sizes", "8,16,32,64,128,256,512", "hyperparameter_sweep: values.")
flags.DEFINE_list("learning_rates", "1e-5,1e-4,1e-3,1e-2,1e-1", "hyperparameter_sweep: values.")
flags.DEFINE_list("depths", "18,34,50", "hyperparameter_sweep: values.")
flags.DEFINE_integer("updates", 625, "data_efficiency: optimiser steps of a run.", lower_bound=1)
flags.DEFINE_list(
    "long_fractions", "0.025,0.07,0.2,0.5", "data_efficiency: pool sizes of its longer runs."
)
flags.DEFINE_integer(
    "long_updates", 1500, "data_efficiency: optimiser steps of a longer run.", lower_bound=1
)
flags.DEFINE_integer(
    "plain_epochs", None, "headline: epochs of plain runs; --epochs if left out.", lower_bound=1
)
flags.DEFINE_integer(
    "short_epochs", None, "experiments: epochs of the runs that are repeated with small changes; "
    "--plain_epochs if left out.", lower_bound=1,
)  # fmt: skip
flags.DEFINE_string("runs_root", "runs", "experiments: folder of the run folders.")
flags.DEFINE_string("results_dir", "figures/results", "experiments: folder of the summaries.")
flags.DEFINE_string("figures_dir", "figures", "experiments: folder of the figures.")
flags.DEFINE_bool("dry_run", False, "experiments: print the runs and their cost, make none.")
flags.DEFINE_enum(
    "runner", "local", ("local", "ray"),
    "experiments: where the runs are made: one after the other in this process, or on a Ray "
    "cluster, as the one that RAY_ADDRESS names.",
)  # fmt: skip
flags.DEFINE_integer("task_cpus", 1, "--runner=ray: CPU cores of each run.", lower_bound=1)
flags.DEFINE_float(
    "task_gpus", None,
    "--runner=ray: GPUs of each run, or a share of one; 1 if left out and there are any.",
    lower_bound=0,
)  # fmt: skip
flags.DEFINE_string(
    "shard", None,
    "experiments: i/n makes the i-th of n parts of the runs, from 1/n to n/n: the parts may be "
    "made at the same time, by the jobs of a scheduler.",
)  # fmt: skip
flags.DEFINE_list(
    "runs", None,
    "experiments: names of runs as --dry_run lists them; makes only these, and sums up nothing.",
)  # fmt: skip

# label_budget.
flags.DEFINE_list("archs", "score_map", "label_budget: the heads that are compared.")
flags.DEFINE_list(
    "sizes", None,
    "label_budget: numbers of labelled images; if left out all that are not tested, and that "
    "halved up to three times.",
)  # fmt: skip
flags.DEFINE_integer("folds", 3, "label_budget: parts that are tested in turn.", 2, 1000)
flags.DEFINE_integer(
    "more_labels", 0, "label_budget: images that you may label next; 0: as many again.", 0
)

# benchmark.
flags.DEFINE_enum(
    "suite",
    "all",
    ("input", "train", "sweep", "end_to_end", "serve", "live", "all"),
    "benchmark: what to measure.",
)
flags.DEFINE_integer("rounds", 3, "benchmark: turns of each worker.", lower_bound=1)
