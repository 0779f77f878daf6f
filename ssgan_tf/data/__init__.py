"""From a name to batches: data sets, label split, cache, pipeline, augmentation."""
