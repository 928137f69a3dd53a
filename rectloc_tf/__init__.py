"""rectloc_tf: keypoint localisation heads, compared on drawn rectangles and on your own images.

Importing the package is cheap: TensorFlow loads with the modules that need it
(`models`, `training`, `serving`, ...). `import rectloc_tf.models` is what
`keras.saving.load_model` needs before it can read a saved model. Import it before TensorFlow:
it turns oneDNN on where that makes training faster.
"""

import os
import sys

from rectloc_tf.processor import enable_onednn

__version__ = "0.1.0"


def _choose_keras_backend() -> None:
    """Has Keras run on TensorFlow, whatever the user's Keras config or environment say.

    Raises:
        ImportError: if Keras is loaded already, with another backend.
    """
    keras = sys.modules.get("keras")
    if keras is None:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    elif keras.config.backend() != "tensorflow":
        raise ImportError(
            "rectloc_tf needs Keras on TensorFlow, but Keras is already loaded with the "
            f"{keras.config.backend()} backend: import rectloc_tf before keras"
        )


_choose_keras_backend()
enable_onednn()
