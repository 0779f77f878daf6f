"""What the replicas of a train step exchange, with `tf.distribute`.

With N replicas each takes its N-th part of the global batch, and the update is that of one device
with the whole batch: the logits and features of all replicas are concatenated before the losses
(`gather`), batch norm uses the statistics of all replicas (`mean_over_replicas`), and the gradients
of the replicas' N-th parts of the loss are added up (`sum_over_replicas`). All three are
differentiable, and on one replica all three do nothing.
"""

from collections.abc import Sequence

import tensorflow as tf


def replica() -> tuple[int | tf.Tensor, int]:
    """The number of this replica, and how many there are; 0, 1 outside a step."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0, 1
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


def my_part(tensor: tf.Tensor, axis: int = 0, sharers: int = 0) -> tf.Tensor:
    """This replica's part of a tensor that several replicas share.

    Args:
        tensor: of size B along `axis`.
        axis: that of the batch.
        sharers: how many replicas share it, such as those of one machine; 0: all N.

    Returns:
        Of size B / sharers there.
    """
    index, replicas = replica()
    if replicas == 1:
        return tensor
    sharers = sharers or replicas
    size = tf.shape(tensor)[axis] // sharers
    return tf.gather(tensor, tf.math.floormod(index, sharers) * size + tf.range(size), axis=axis)


def gather(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Concatenates the replicas' parts of a batch: (B / N, ...) each -> (B, ...) each."""
    if replica()[1] == 1:
        return list(tensors)
    context = tf.distribute.get_replica_context()
    # One by one: of a list, several machines can get each other's tensors in another order.
    return [context.all_gather(tensor, axis=0) for tensor in tensors]


def mean_over_replicas(tensor: tf.Tensor) -> tf.Tensor:
    """The mean over the replicas."""
    if replica()[1] == 1:
        return tensor
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, tensor)


def sum_over_replicas(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The sums over the replicas."""
    if replica()[1] == 1:
        return list(tensors)
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors))
