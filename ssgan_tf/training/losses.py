"""The losses of the article, and some more, each a pure function with its formula and source.

Sources: the article; Salimans et al. 2016, "Improved Techniques for Training GANs"
(https://arxiv.org/abs/1606.03498), section 5 (semi-supervised learning) and 3.1 (feature matching).

The discriminator gives K class logits l_1 .. l_K and nothing else. An additional class "generated"
has the logit 0, so the softmax over [l, 0] gives

    p(real) = sum_k exp(l_k) / (sum_k exp(l_k) + 1) = sigmoid(logsumexp(l)).
"""

import tensorflow as tf


def gan_logit(class_logits: tf.Tensor) -> tf.Tensor:
    """The logit of "is a real image": logsumexp_k l_k.

    Args:
        class_logits: (B, K) float, any range.

    Returns:
        (B,) float; p(real) = sigmoid of it.
    """
    return tf.reduce_logsumexp(class_logits, axis=-1)  # (B, K) -> (B,)


def supervised_loss(class_logits: tf.Tensor, labels: tf.Tensor, label_mask: tf.Tensor) -> tf.Tensor:
    """Cross entropy over the images whose label may be used:

        sum_i m_i * (-log softmax(l_i)[y_i]) / max(1, sum_i m_i)

    Args:
        class_logits: (B, K) float.
        labels: (B,) integer, 0 .. K - 1; where the mask is 0 it may hold anything.
        label_mask: (B,) float, 1 where the label may be used, else 0.

    Returns:
        Scalar, >= 0; 0 if no label may be used.
    """
    known = tf.where(label_mask > 0, labels, tf.zeros_like(labels))
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(known, class_logits)  # (B,)
    return tf.reduce_sum(label_mask * cross_entropy) / tf.maximum(1.0, tf.reduce_sum(label_mask))


def unsupervised_real_loss(real_gan_logit: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Real images should be taken for real:

        mean_i sigmoid_cross_entropy(logsumexp(l_i), 1 - smooth)

    Args:
        real_gan_logit: (B,) float, `gan_logit` of real images.
        label_smoothing: smooth, 0 to 0.5: one-sided label smoothing (Salimans et al., 3.4).

    Returns:
        Scalar, >= 0.
    """
    target = (1.0 - label_smoothing) * tf.ones_like(real_gan_logit)
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=real_gan_logit)
    )


def unsupervised_fake_loss(fake_gan_logit: tf.Tensor) -> tf.Tensor:
    """Generated images should not: mean_i sigmoid_cross_entropy(logsumexp(l_i), 0).

    Args:
        fake_gan_logit: (B,) float, `gan_logit` of generated images.

    Returns:
        Scalar, >= 0.
    """
    target = tf.zeros_like(fake_gan_logit)
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=fake_gan_logit)
    )


def consistency_loss(
    class_logits: tf.Tensor, teacher_logits: tf.Tensor, threshold: float, share_power: float = 0.0
) -> tf.Tensor:
    """An image seen twice should get one class:

        share^p * mean_i sure_i * (-log softmax(l_i)[argmax_k t_i])
        with sure_i = [max_k softmax(t_i)_k >= threshold] and share = mean_i sure_i

    The confident pseudo-label of Sohn et al. 2020 ("FixMatch", equation 4), given by averaged
    weights as in Tarvainen and Valpola 2017 ("Mean teachers are better role models"). The power of
    the share is our own: a teacher that is sure of few images is often wrong about those, too.

    Args:
        class_logits: (B, K) float, l, of the images as the discriminator is trained on them.
        teacher_logits: (B, K) float, t, of the same images. No gradient flows there: argmax and
            comparison have none.
        threshold: 0 to 1; images of which the teacher is less sure do not count.
        share_power: p, >= 0; 0 is as published.

    Returns:
        Scalar, >= 0.
    """
    sure = confident(teacher_logits, threshold)  # (B,)
    taught = tf.argmax(teacher_logits, axis=-1)
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(taught, class_logits)
    loss = tf.reduce_mean(sure * cross_entropy)
    return loss * tf.reduce_mean(sure) ** share_power if share_power else loss


def confident(teacher_logits: tf.Tensor, threshold: float) -> tf.Tensor:
    """Which images get a pseudo-label: [max_k softmax(t_i)_k >= threshold].

    Args:
        teacher_logits: (B, K) float, t.
        threshold: 0 to 1.

    Returns:
        (B,), 1 or 0, of the dtype of `teacher_logits`.
    """
    probability = tf.reduce_max(tf.nn.softmax(teacher_logits), axis=-1)  # (B, K) -> (B,)
    return tf.cast(probability >= threshold, teacher_logits.dtype)


def aligned_logits(
    teacher_logits: tf.Tensor, class_prior: tf.Tensor, class_mean: tf.Tensor
) -> tf.Tensor:
    """Distribution alignment (Berthelot et al. 2020, "ReMixMatch", section 3.1):

        softmax(aligned)_k = q_k / sum_j q_j,  q_k = softmax(t)_k * prior_k / mean_k

    Classes that the teacher finds too often become less likely, those that it has lost more likely,
    so that none is swallowed by another.

    Args:
        teacher_logits: (B, K) float, t.
        class_prior: (K,) float, > 0, sums to 1: the classes' shares of the labels.
        class_mean: (K,) float: softmax(t) on average over the last batches.

    Returns:
        (B, K) float: logits.
    """
    # A class that has vanished from the mean gets a limited correction.
    return teacher_logits + tf.math.log(class_prior) - tf.math.log(tf.maximum(class_mean, 1e-6))


def feature_matching_loss(real_features: tf.Tensor, fake_features: tf.Tensor) -> tf.Tensor:
    """The generator should reproduce the mean features of real images (Salimans et al., 3.1):

        mean_j | mean_i f_j(x_i) - mean_i f_j(G(z_i)) |

    The article's mean absolute difference; Salimans et al. write a squared L2 norm.

    Args:
        real_features: (B, F) float, the discriminator's pooled features of real images.
        fake_features: (B', F) float, those of generated images.

    Returns:
        Scalar, >= 0.
    """
    real_mean = tf.reduce_mean(real_features, axis=0)  # (B, F) -> (F,)
    fake_mean = tf.reduce_mean(fake_features, axis=0)
    return tf.reduce_mean(tf.abs(real_mean - fake_mean))


def adversarial_loss(fake_gan_logit: tf.Tensor) -> tf.Tensor:
    """The original, non-saturating GAN loss of the generator (Goodfellow et al. 2014, section 3):

        mean_i -log p(real | G(z_i)) = mean_i sigmoid_cross_entropy(logsumexp(l_i), 1)

    Args:
        fake_gan_logit: (B,) float, `gan_logit` of generated images.

    Returns:
        Scalar, >= 0.
    """
    return unsupervised_real_loss(fake_gan_logit)
