from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ssgan_tf.config import Config
from ssgan_tf.runs.summaries import Summaries


def test_events_hold_scalars_pictures_and_the_configuration(tmp_path: Path) -> None:
    summaries = Summaries(tmp_path, Config(labeled=250))
    summaries.scalars({"losses/discriminator": 1.5, "accuracy/test": 0.5}, step=20)
    summaries.image("samples", np.zeros((8, 8, 3), np.uint8), step=20)
    summaries.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    tensors = set(events.Tags()["tensors"])
    assert {"losses/discriminator", "accuracy/test", "samples", "configuration"} <= tensors
    text = events.Tensors("configuration")[0].tensor_proto.string_val[0].decode()
    assert "| labeled | 250 |" in text and "| deterministic | false |" in text
    loss = events.Tensors("losses/discriminator")[0]
    assert loss.step == 20
