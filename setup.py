"""For tools that know no pyproject.toml, which has all that describes the package."""

from setuptools import setup

setup()
