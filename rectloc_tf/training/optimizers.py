"""Adam in one op a variable."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="rectloc_tf")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` whose update of a variable is TensorFlow's one fused op.

    Equal to Keras' own within rounding, with the same variables; Keras composes it from
    elementwise ops, each of which walks through memory once more.

    Raises:
        ValueError: with `amsgrad`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("FusedAdam has no amsgrad")

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """Sums gradients over replicas; with one replica there is nothing to sum.

        TensorFlow's all-reduce has a gradient of its own, which is registered for good: with it
        the graph of every step that was ever traced, and its variables, stay in memory.
        """
        replicas = tf.distribute.get_replica_context()
        if replicas is None or replicas.num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable (on each replica its own copy) and its two moments."""
        number = self._get_variable_index(variable)
        moments = (self._momentums[number].value, self._velocities[number].value)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=moments[0].handle,
            v=moments[1].handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
