"""What the program stands on: devices and replicas, files, errors, streams, settings of Keras."""
