"""Semi-supervised image classification with a GAN: few labels, many images."""

import os

from ssgan_tf.system import keras_settings, streams

__version__ = "0.1.0"

# TensorFlow reads this when it is imported. Its oneDNN kernels are on by default on some processors
# only; on the others a train step takes twice the time without them.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
keras_settings.prepare()
streams.fill_closed()
