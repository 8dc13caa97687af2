"""The earlier name of :mod:`trackkit.synthetic`."""

from trackkit.synthetic import *  # noqa: F403 - hands on what is in its __all__
from trackkit.synthetic import __all__ as __all__
