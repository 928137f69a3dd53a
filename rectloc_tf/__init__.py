"""rectloc_tf: two small networks find the centre of the largest rectangle.

Importing the package is cheap: TensorFlow loads with the modules that need it
(`models`, `training`, `serving`, ...). `import rectloc_tf.models` is what
`keras.saving.load_model` needs before it can read a saved model. Import it before TensorFlow:
it turns oneDNN on where that makes training faster.
"""

__version__ = "0.1.0"

from rectloc_tf.processor import enable_onednn

enable_onednn()
