"""Package description of ssgan-tf; see BUILD.md for how a release is made."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "ssgan_tf/__init__.py").read_text())[1]

# Tested with the versions in BUILD.md; the lower bounds are not far below those.
REQUIREMENTS = [
    "absl-py>=2.1",
    "filelock>=3.12",  # one process a run directory
    "importlib_resources>=6",  # tensorflow-datasets prepares nothing without it and does not say so
    "jinja2>=3.1",  # the report
    "keras>=3.13,<4",
    "matplotlib>=3.9",  # the confusion matrix, and the fonts of house_numbers
    "numpy>=2.0",
    "pillow>=11",  # AVIF needs 11.3
    "requests>=2.31",
    "scipy>=1.13",  # TFDS reads SVHN's .mat files with it
    "tensorboard>=2.20",  # tensorflow 2.21 no longer brings it, tf.summary needs it
    "tensorflow>=2.20,<3",
    "tensorflow-datasets>=4.9.9",
    "tqdm>=4.66",
]

setup(
    name="ssgan-tf",
    version=VERSION,
    description="Semi-supervised image classification with a GAN: few labels, many images.",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["ssgan_tf", "ssgan_tf.*"]),
    package_data={"ssgan_tf.reporting": ["templates/*.j2"]},
    python_requires=">=3.11",
    install_requires=REQUIREMENTS,
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.20,<3"],
        "heic": ["pillow-heif>=0.16"],  # photos of iPhones
        "notebook": ["ipykernel>=6", "nbclient>=0.10", "nbformat>=5"],
        "onnx": ["onnx>=1.17", "onnxruntime>=1.20", "tf2onnx>=1.17"],
        "test": [
            "hypothesis>=6.100",
            "pytest>=8",
            "pytest-cov>=6",
            "pytest-xdist>=3.6",
            "ruff==0.17.6",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
