"""Trains inkstream's models: recipes, training, calibration, export, cards and their check.

Reads from top to bottom as `recipes` -> `examples` -> `train` (with `augment`) -> `calibration` ->
`export` -> `card` -> `evaluate`; `produce` runs them in that order and `cli` is the command.
"""

from importlib.metadata import version

__version__ = version("inkstream-training")
