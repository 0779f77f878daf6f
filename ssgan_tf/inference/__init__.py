"""What is done with a classifier: evaluation, calibration, prediction, export."""
