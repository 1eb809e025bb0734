"""Trains the network for strokes, one seed at a time. Knows neither files nor cards.

The compiled step uses TensorFlow's own convolutions, which on a CPU are faster than those of XLA.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from inkstream_training.ink.collection import Learned
from inkstream_training.recipes import StrokeRecipe
from inkstream_training.strokes.architecture import build_network, outputs
from inkstream_training.strokes.augment import distorted
from inkstream_training.train import Epoch, TrainedSeed, take, targets

__all__ = ["train_strokes"]

_WARM_UP = 10
"""Steps over which the running mean of the weights forgets the first ones: after n steps its decay is at most
(1 + n) / (10 + n)."""


def train_strokes(
    recipe: StrokeRecipe,
    learned: Learned,
    seed: int,
    *,
    validation: tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]],
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> TrainedSeed:
    """Train one seed to its end, and keep the running mean of its weights; the model gives logits.

    Args:
        recipe: its settings.
        learned: traces to learn from.
        seed: 0 to 2**31 - 1.
        validation: traces (m, 64, 7) of digits that are not learnt from, and labels (m,), for the history.
        on_epoch: called after each epoch, from the calling thread.
    """
    keras.utils.set_random_seed(seed)
    started = time.perf_counter()
    model, averaged = build_network(recipe.dropout), build_network()
    batch = min(recipe.batch_size, len(learned.labels))
    steps = max(1, int(learned.shares.sum()) // batch)
    rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps * recipe.epochs)
    optimizer = keras.optimizers.Adam(rate)
    weights = model.trainable_variables
    optimizer.build(weights)
    # Without the state of the random generator of dropout.
    pairs = list(zip(averaged.weights, model.weights, strict=True))
    for mean, one in pairs:
        mean.assign(one)

    def step(traces: Any, labels: Any, decay: Any, at: Any) -> tuple[Any, Any]:
        seen = distorted(tf.cast(traces, tf.float32), recipe.distortion, at)
        with tf.GradientTape() as tape:
            logits = model(seen, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets(labels), logits)
            importance = tf.where(labels < 0, recipe.ink.none_weight, 1.0)
            loss = tf.reduce_sum(losses * importance) / tf.reduce_sum(importance)
        optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)
        for mean, one in pairs:
            mean.assign(decay * mean.value + (1.0 - decay) * one.value)
        is_right = tf.argmax(logits, axis=1, output_type=tf.int32) == labels
        counts = [tf.reduce_sum(tf.cast(it, tf.float32)) for it in (is_right, labels >= 0)]
        return loss, tf.stack(counts)

    compiled = tf.function(step)
    orders = np.random.default_rng(seed)
    history: list[Epoch] = []
    done = 0
    for number in range(1, recipe.epochs + 1):
        order = take(learned.shares, orders)[: steps * batch].reshape(steps, batch)
        total, counts = tf.constant(0.0), tf.constant([0.0, 0.0])
        for chosen in order:
            done += 1
            decay = min(recipe.ema_decay, (1 + done) / (_WARM_UP + done))
            loss, right = compiled(
                tf.constant(learned.inputs[chosen]),
                tf.constant(learned.labels[chosen]),
                tf.constant(decay, tf.float32),
                tf.constant([seed, 2 * done]),
            )
            total, counts = total + loss, counts + right
        traces, labels = validation
        held_out = None
        if len(labels):
            held_out = float(np.mean(outputs(averaged, traces).argmax(axis=1) == labels))
        accuracy = float(counts[0] / tf.maximum(counts[1], 1.0))
        history.append(Epoch(number, float(total) / steps, accuracy, held_out))
        on_epoch(history[-1])
    return TrainedSeed(seed, averaged, tuple(history), time.perf_counter() - started)
