import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf.models.generator import Generator


def test_layers_have_the_shapes_of_the_articles_table() -> None:
    generator = Generator(width=32, latent_dim=100)
    shapes = {weight.path.split("/", 1)[1]: tuple(weight.shape) for weight in generator.weights}
    assert {name: shape for name, shape in shapes.items() if "bn" not in name} == {
        "dense/kernel": (100, 2048),
        "dense/bias": (2048,),
        "deconv1/kernel": (5, 5, 64, 128),
        "deconv1/bias": (64,),
        "deconv2/kernel": (5, 5, 32, 64),
        "deconv2/bias": (32,),
        "deconv3/kernel": (5, 5, 3, 32),
        "deconv3/bias": (3,),
    }
    assert [shapes[f"bn{index}/gamma"] for index in (1, 2, 3)] == [(128,), (64,), (32,)]


def test_parameter_count_is_the_one_worked_out_from_the_table() -> None:
    dense, batch_norms = 100 * 2048 + 2048, 2 * (128 + 64 + 32)
    deconvs = 25 * (128 * 64 + 64 * 32 + 32 * 3) + 64 + 32 + 3
    generator = Generator(width=32, latent_dim=100)
    count = sum(np.prod(variable.shape) for variable in generator.trainable_variables)
    assert count == dense + deconvs + batch_norms


def test_each_transpose_convolution_doubles_the_size() -> None:
    generator = Generator(width=8)
    for deconv, shape in (
        (generator.deconv1, (2, 4, 4, 32)),
        (generator.deconv2, (2, 8, 8, 16)),
    ):  # deconv3 is computed otherwise, see test_layers.py
        assert deconv.strides == (2, 2)
        output = deconv(tf.zeros(shape))
        assert output.shape[1:3] == (2 * shape[1], 2 * shape[2])


def test_images_are_float32_within_the_range_of_tanh() -> None:
    images = Generator(width=8, latent_dim=7)(100 * tf.ones((3, 7)), statistics="batch")
    assert images.shape == (3, 32, 32, 3)
    assert images.dtype == tf.float32
    assert float(tf.reduce_max(tf.abs(images))) <= 1


def test_channels_follow_the_data_set() -> None:
    assert Generator(width=8, channels=1)(tf.zeros((2, 100))).shape == (2, 32, 32, 1)


def test_inference_makes_each_image_from_its_own_z_alone() -> None:
    generator = Generator(width=8)
    z = tf.random.stateless_normal((4, 100), (0, 0))
    together = generator(z, statistics="moving").numpy()
    np.testing.assert_allclose(generator(z[:1], statistics="moving"), together[:1], atol=1e-6)


@pytest.mark.parametrize(("size", "filters"), [(16, [16, 8]), (64, [64, 32, 16, 8])])
def test_other_sizes_start_at_four_by_four_and_halve_the_channels(
    size: int, filters: list[int]
) -> None:
    generator = Generator(width=8, latent_dim=5, image_size=size)
    assert generator.dense.units == 4 * 4 * filters[0]
    kernels = [getattr(generator, f"deconv{stage}").kernel for stage in range(1, len(filters) + 1)]
    assert [kernel.shape[2:] for kernel in kernels] == [
        tuple(pair) for pair in zip([*filters[1:], 3], filters, strict=True)
    ]
    assert generator(tf.zeros((2, 5))).shape == (2, size, size, 3)
