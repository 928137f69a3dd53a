"""SavedModel, for TensorFlow and TensorFlow Serving."""

from rectloc_tf.serving.formats.format import Format


class SavedModel(Format):
    """A folder; images or encoded pictures of any size, answers with maps."""

    def write(self, served, folder, metadata, quantize="none", calibration=(), convolutions=""):
        """See `serving.saved_model.save`."""
        from rectloc_tf.serving.saved_model import save

        save(served, folder)

    def load(self, folder):
        """The signature `serving_default`, without maps."""
        import tensorflow as tf

        loaded = tf.saved_model.load(str(folder))
        signature = loaded.signatures["serving_default"]

        def answer(images, loaded=loaded):  # which holds what the signature needs
            found = signature(images=tf.constant(images))
            return {
                name: found[name].numpy() for name in found if name.endswith(("xy", "confidence"))
            }

        return answer
