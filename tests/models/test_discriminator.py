import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf.models.discriminator import Discriminator


def images(count: int, seed: int = 0) -> tf.Tensor:
    return tf.random.stateless_uniform((count, 32, 32, 3), (seed, 0), -1, 1)


def trained_looking(**arguments: object) -> Discriminator:
    """Moving averages and scales as after training, so that a mistake in them shows."""
    discriminator = Discriminator(width=8, **arguments)
    rng = np.random.default_rng(0)
    for variable in discriminator.variables:
        if "bn" in variable.path or "bias" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return discriminator


def test_layers_have_the_shapes_of_the_articles_table() -> None:
    discriminator = Discriminator(width=64)
    shapes = {weight.path.split("/", 1)[1]: tuple(weight.shape) for weight in discriminator.weights}
    kernels = {name: shape for name, shape in shapes.items() if "kernel" in name}
    assert kernels == {
        "conv1/kernel": (3, 3, 3, 64),
        "conv2/kernel": (3, 3, 64, 64),
        "conv3/kernel": (3, 3, 64, 64),
        "conv4/kernel": (3, 3, 64, 128),
        "conv5/kernel": (3, 3, 128, 128),
        "conv6/kernel": (3, 3, 128, 128),
        "conv7/kernel": (3, 3, 128, 128),
        "classifier/kernel": (128, 10),
    }
    for kernel, shape in kernels.items():
        assert shapes[kernel.replace("kernel", "bias")] == shape[-1:]
    batch_norms = {name.split("/")[0] for name in shapes if "gamma" in name}
    assert batch_norms == {"bn2", "bn3", "bn4", "bn5", "bn6"}  # none after conv1 and conv7


def test_parameter_count_is_the_one_worked_out_from_the_table() -> None:
    kernels = 9 * (3 * 64 + 2 * 64 * 64 + 64 * 128 + 3 * 128 * 128) + 128 * 10
    biases = 3 * 64 + 4 * 128 + 10
    batch_norms = 2 * (2 * 64 + 3 * 128)
    discriminator = Discriminator(width=64)
    count = sum(np.prod(variable.shape) for variable in discriminator.trainable_variables)
    assert count == kernels + biases + batch_norms


def test_strides_and_paddings_are_those_of_the_table() -> None:
    discriminator = Discriminator(width=8)
    convs = [getattr(discriminator, f"conv{index}") for index in range(1, 8)]
    assert [conv.strides[0] for conv in convs] == [2, 2, 2, 1, 1, 2, 1]
    assert {conv.padding for conv in convs} == {"same"}


def test_notebook_pads_conv7_not_at_all_and_reads_conv5() -> None:
    discriminator = trained_looking(conv7_input="conv5")
    assert discriminator.conv7.padding == "valid"
    before = discriminator(images(2)).class_logits.numpy()
    discriminator.conv6.kernel.assign(tf.zeros_like(discriminator.conv6.kernel))
    np.testing.assert_array_equal(discriminator(images(2)).class_logits, before)  # conv6 is dead


def test_article_reads_conv6() -> None:
    discriminator = trained_looking(conv7_input="conv6")
    before = discriminator(images(2)).class_logits.numpy()
    discriminator.conv6.kernel.assign(tf.zeros_like(discriminator.conv6.kernel))
    assert np.abs(discriminator(images(2)).class_logits - before).max() > 1e-4


def test_output_is_float32_logits_and_the_pooled_activations_of_conv7() -> None:
    discriminator = trained_looking(num_classes=7)
    output = discriminator(images(3))
    assert output.class_logits.shape == (3, 7)
    assert output.features.shape == (3, 16)
    assert output.class_logits.dtype == output.features.dtype == tf.float32
    np.testing.assert_allclose(
        discriminator.classifier(output.features), output.class_logits, rtol=1e-5
    )


def test_inference_does_not_depend_on_which_images_share_a_batch() -> None:
    discriminator = trained_looking(drop_rate=0.5)
    one = images(1)
    alone = discriminator(one).class_logits
    for seed in (1, 2):
        crowd = discriminator(tf.concat([one, images(7, seed)], axis=0)).class_logits[:1]
        np.testing.assert_allclose(crowd, alone, rtol=1e-4, atol=1e-5)


def test_batch_statistics_do_depend_on_it_as_the_notebooks_evaluation_does() -> None:
    discriminator = trained_looking()
    one = images(1)
    first, second = (
        discriminator(tf.concat([one, images(7, seed)], axis=0), statistics="batch").class_logits[0]
        for seed in (1, 2)
    )
    assert np.abs(first - second).max() > 1e-4


def test_dropout_differs_between_seeds_and_is_absent_at_inference() -> None:
    discriminator = trained_looking(drop_rate=0.5)
    x = images(4)

    def logits(seed: list[int] | None) -> np.ndarray:
        dropout_seed = None if seed is None else tf.constant(seed)
        return discriminator(x, statistics="batch", dropout_seed=dropout_seed).class_logits.numpy()

    assert np.abs(logits([0, 1]) - logits([0, 2])).max() > 1e-3
    np.testing.assert_array_equal(logits([0, 1]), logits([0, 1]))
    discriminator.drop_rate = 0.0
    np.testing.assert_array_equal(logits([0, 1]), logits(None))


@pytest.mark.parametrize("statistics", ["batch", "moving"])
def test_only_batch_and_update_moves_the_averages(statistics: str) -> None:
    discriminator = trained_looking()
    before = [weight.numpy() for weight in discriminator.non_trainable_variables]
    discriminator(images(4), statistics=statistics)
    for weight, old in zip(discriminator.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(weight, old)
    discriminator(images(4), statistics="batch_and_update")
    for weight, old in zip(discriminator.non_trainable_variables, before, strict=True):
        assert np.abs(weight - old).max() > 0, weight.path


@pytest.mark.parametrize(
    ("size", "extra"), [(16, []), (64, ["conv1_2"]), (128, ["conv1_2", "conv1_3"])]
)
def test_other_sizes_get_a_stage_per_doubling_and_are_the_same_from_conv2_on(
    size: int, extra: list[str]
) -> None:
    discriminator = Discriminator(width=8, image_size=size)
    names = [w.path.split("/")[1] for w in discriminator.weights if "kernel" in w.path]
    assert names == ["conv1", *extra, *(f"conv{k}" for k in range(2, 8)), "classifier"]
    x = discriminator.conv1(tf.zeros((1, size, size, 3)))
    for name in extra:
        assert getattr(discriminator, name).strides == (2, 2)
        x = getattr(discriminator, name)(x)
    assert discriminator.conv2(x).shape == (1, 8, 8, 8)
    assert discriminator.conv2.strides == ((1, 1) if size == 16 else (2, 2))
    assert discriminator(tf.zeros((2, size, size, 3))).features.shape == (2, 16)


def test_pooled_layers_are_those_of_the_second_table() -> None:
    discriminator = Discriminator(width=8, layers="pooled", num_classes=5)
    convs = [getattr(discriminator, f"conv{index}") for index in range(1, 8)]
    assert [conv.filters for conv in convs] == [8, 8, 16, 16, 32, 32, 32]
    assert [conv.strides[0] for conv in convs] == [2, 1, 1, 1, 1, 1, 1]
    assert discriminator(images(3)).features.shape == (3, 32)
    assert discriminator.classifier.kernel.shape == (32, 5)


def test_pooled_maps_are_halved_after_conv3_and_conv5() -> None:
    discriminator = trained_looking(layers="pooled")

    def layer(x: tf.Tensor, number: int) -> tf.Tensor:
        x = getattr(discriminator, f"conv{number}")(x)
        if 2 <= number <= 6:
            x = getattr(discriminator, f"bn{number}")(x)
        x = tf.nn.leaky_relu(x, 0.2)
        if number in (3, 5):  # the largest of each 2 x 2, after the ReLU here
            _, height, width, channels = x.shape
            x = tf.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
            x = tf.reduce_max(x, axis=(2, 4))
        return x

    x, sides = images(2), []
    for number in range(1, 8):
        x = layer(x, number)
        sides.append(x.shape[1])
    assert sides == [16, 16, 8, 8, 4, 4, 4]
    expected = tf.reduce_mean(x, axis=(1, 2))
    np.testing.assert_allclose(discriminator(images(2)).features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "extra"), [(16, []), (64, [2]), (128, [2, 3])])
def test_pooled_layers_take_other_sizes_and_gray_images_as_well(
    size: int, extra: list[int]
) -> None:
    discriminator = Discriminator(width=2, image_size=size, channels=1, layers="pooled")
    x = discriminator.conv1(tf.zeros((1, size, size, 1)))
    for stage in extra:
        x = getattr(discriminator, f"conv1_{stage}")(x)
    assert discriminator.conv2(x).shape == (1, 16, 16, 2)
    assert discriminator(tf.zeros((2, size, size, 1))).features.shape == (2, 8)


def test_vgg_layers_are_those_of_the_third_table() -> None:
    discriminator = trained_looking(layers="vgg", num_classes=5)
    convs = [getattr(discriminator, f"conv{index}") for index in range(1, 8)]
    assert [conv.filters for conv in convs] == [24, 8, 8, 16, 16, 32, 32]
    assert {conv.strides for conv in convs} == {(1, 1)}
    assert discriminator.classifier.kernel.shape == (32, 5)

    x, sides = images(2), []
    for number, conv in enumerate(convs, 1):
        x = conv(x)
        if number in (2, 4, 6):
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        if 2 <= number <= 6:
            x = getattr(discriminator, f"bn{number}")(x)
        x = tf.nn.leaky_relu(x, 0.2)
        sides.append(x.shape[1])
    assert sides == [31, 15, 15, 7, 7, 3, 3]
    expected = tf.reduce_mean(x, axis=(1, 2))
    np.testing.assert_allclose(discriminator(images(2)).features, expected, rtol=1e-4, atol=1e-5)


def test_vgg_layers_train_all_but_the_first() -> None:
    discriminator = Discriminator(width=8, layers="vgg")
    fixed = {weight.path.split("/", 1)[1] for weight in discriminator.non_trainable_weights}
    averages = {f"bn{k}/moving_{what}" for k in range(2, 7) for what in ("mean", "variance")}
    assert fixed == {"conv1/kernel"} | averages


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "extra"), [(16, []), (64, [2]), (128, [2, 3])])
def test_vgg_layers_take_other_sizes_and_gray_images_as_well(
    size: int, extra: list[int], channels: int
) -> None:
    discriminator = Discriminator(width=2, image_size=size, channels=channels, layers="vgg")
    x = discriminator.conv1(tf.zeros((1, size, size, channels)))
    assert x.shape == (1, size - 1, size - 1, 8 * channels)
    for stage in extra:
        x = getattr(discriminator, f"conv1_{stage}")(x)
    assert discriminator.conv2(x).shape == (1, 15 if size == 16 else 31, x.shape[2], 2)
    x = discriminator(tf.zeros((2, size, size, channels)))
    assert x.features.shape == (2, 8)
