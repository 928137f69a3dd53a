"""What a run is (`RunConfig`) and how it is carried out (`ExecutionConfig`).

Field names are flag names, and each field is declared once: the flags, their help and the
validation come from its `setting`. A `RunConfig` holds everything that changes the result and
nothing else: it is compared on resume and hashed into the name of the run folder. The small
configs that it consists of (`SceneConfig`, `ImagesConfig`, `HeadConfig`, `ModelConfig`) are what
library functions take. All are validated when they are made and raise `ConfigError`.
"""

from rectloc_tf.config.execution import ExecutionConfig
from rectloc_tf.config.heads import STRIDES, HeadConfig
from rectloc_tf.config.images import ImagesConfig
from rectloc_tf.config.keypoints import Keypoints
from rectloc_tf.config.model import DEPTHS, PRECISIONS, ModelConfig
from rectloc_tf.config.run import DISTORTIONS, SOURCE_SETTINGS, RunConfig, implied
from rectloc_tf.config.scenes import IMAGES_PER_DOMAIN, LABELS, MAX_DOMAIN, SPLITS, SceneConfig

__all__ = [
    "DEPTHS",
    "DISTORTIONS",
    "IMAGES_PER_DOMAIN",
    "LABELS",
    "MAX_DOMAIN",
    "PRECISIONS",
    "SOURCE_SETTINGS",
    "SPLITS",
    "STRIDES",
    "ExecutionConfig",
    "HeadConfig",
    "ImagesConfig",
    "Keypoints",
    "ModelConfig",
    "RunConfig",
    "SceneConfig",
    "implied",
]
