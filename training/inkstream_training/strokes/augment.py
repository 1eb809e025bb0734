"""Distorts traces at random at every step, so that no two epochs show the network the same ink.

Drawings of `ink/mixture.py` are made once, and a network for strokes learns some dozens of them by heart: its
likelihood on validation's writers then falls. This moves their points as another hand would, and computes
directions and turns anew. It runs inside a compiled step.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import tensorflow as tf

from inkstream_training.recipes import TraceDistortion

__all__ = ["distorted"]

_WAVES: Final = 4
"""Number of plane waves whose sum is the smooth displacement, as in `ink/distortion.py`."""

_LEAST: Final = 1e-6
"""Steps and boxes smaller than this have no direction and no size."""


def distorted(traces: Any, amounts: TraceDistortion, seed: Any) -> Any:
    """Distort a batch of traces.

    Args:
        traces: float32 tensor (n, 64, 7); see `inkstream_server.ink.trace_of`.
        amounts: strength of each kind; all zero changes nothing but rounding, where points lie evenly.
        seed: int32 tensor (2,); the same seed gives the same distortion.

    Returns: float32 tensor (n, 64, 7).
    """
    n = tf.shape(traces)[0]
    uniform = tf.random.stateless_uniform((n, 4 + _WAVES), seed, -1.0, 1.0)
    normal = tf.random.stateless_normal((n, 2, _WAVES, 2), seed + tf.constant([0, 1]))
    # A trace written backwards.
    is_back = (uniform[:, 3] + 1.0) / 2.0 < amounts.backwards_chance
    traces = tf.where(is_back[:, None, None], traces[:, ::-1], traces)
    place = tf.matmul(traces[:, :, :2], _affine(uniform, amounts))
    # Half of the longest side is 1 here.
    waves = tf.matmul(place, normal[:, 0] * (amounts.bend / 2), transpose_b=True)
    waves = tf.sin(waves + np.pi * uniform[:, None, 4:])
    strength = 2.0 * amounts.elastic * np.sqrt(2.0 / _WAVES)
    place = _boxed(place + tf.matmul(waves, normal[:, 1] * strength), traces[:, :, :2])
    direction = _directions(place)
    return tf.concat([place, direction, _turns(direction), traces[:, :, 6:]], axis=2)


def _affine(uniform: Any, amounts: TraceDistortion) -> Any:
    """Give the matrices (n, 2, 2) for rows of x and y: slant, then aspect, then rotation."""
    angle = uniform[:, 0] * np.float32(np.deg2rad(amounts.rotation_deg))
    stretch = tf.exp(uniform[:, 1] * amounts.log_aspect)
    slant = uniform[:, 2] * amounts.slant
    cos, sin = tf.cos(angle), tf.sin(angle)
    rows = (
        tf.stack([stretch * cos, stretch * sin], axis=1),
        tf.stack([slant * cos - sin / stretch, slant * sin + cos / stretch], axis=1),
    )
    return tf.stack(rows, axis=1)


def _boxed(place: Any, before: Any) -> Any:
    """Move and scale points (n, 64, 2) so that their box is as it was `before`, on its longer side."""
    middle, half = _box(place)
    middle_before, half_before = _box(before)
    return (place - middle) * (half_before / tf.maximum(half, _LEAST)) + middle_before


def _box(place: Any) -> tuple[Any, Any]:
    """Give the middle of the box of points (n, 64, 2), and half of its longer side."""
    low, high = (it(place, axis=1, keepdims=True) for it in (tf.reduce_min, tf.reduce_max))
    return (low + high) / 2.0, tf.reduce_max(high - low, axis=2, keepdims=True) / 2.0


def _directions(place: Any) -> Any:
    """Give cosine and sine of each point's direction, (n, 64, 2), as `trace_of` does."""
    inner = place[:, 2:] - place[:, :-2]
    first, last = place[:, 1:2] - place[:, :1], place[:, -1:] - place[:, -2:-1]
    step = tf.concat([first, inner, last], axis=1)
    length = tf.sqrt(tf.reduce_sum(step * step, axis=2, keepdims=True))
    return step / tf.maximum(length, _LEAST)


def _turns(direction: Any) -> Any:
    """Give cosine and sine of the turn from the point before to the point after, (n, 64, 2)."""
    before, after = direction[:, :-2], direction[:, 2:]
    cos = tf.reduce_sum(before * after, axis=2, keepdims=True)
    sin = before[:, :, :1] * after[:, :, 1:] - before[:, :, 1:] * after[:, :, :1]
    inner = tf.concat([cos, sin], axis=2)
    straight = tf.concat([tf.ones_like(cos[:, :1]), tf.zeros_like(sin[:, :1])], axis=2)
    return tf.concat([straight, inner, straight], axis=1)
