"""Training of inkstream's models: recipes, training, calibration, export, cards and their check.

Reads from top to bottom as `recipes` -> `examples` -> `train` (with `augment`) -> `calibration` ->
`export` -> `card` -> `evaluate`; `produce` runs them in that order and `cli` is the command.
"""

__version__ = "0.1.0"
