"""Trains the seed network by a recipe, one seed at a time. Knows neither files nor cards.

Without augmentation this is Keras' own `fit`. With it, one XLA-compiled function distorts, learns and
averages the weights, because distortion costs more than learning.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from inkstream_training.architecture import build_model, logits_of
from inkstream_training.augment import Draws, draw, warp
from inkstream_training.examples import Examples
from inkstream_training.recipes import Augmentation, Recipe

__all__ = ["Epoch", "OnEpoch", "TrainedSeed", "strength_at", "take", "targets", "train_seed"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """Figures of one pass over the training images."""

    number: int
    """From 1."""

    loss: float
    """Mean cross-entropy of the distorted training batches, in nats."""

    accuracy: float
    """Share of right answers on those batches, among digits."""

    validation_accuracy: float | None
    """Share of right answers on the undistorted validation images, with the weights that would be kept; None
    without validation images."""


OnEpoch = Callable[[Epoch], None]


@dataclass(frozen=True, slots=True)
class TrainedSeed:
    """A finished run."""

    seed: int
    """Seed of the weights, the order of images and the distortions."""

    model: keras.Model
    """The network with the final weights."""

    history: tuple[Epoch, ...]
    """Every epoch in order."""

    seconds: float
    """Wall time of training, compilation included."""


def train_seed(
    recipe: Recipe,
    examples: Examples,
    seed: int,
    *,
    on_epoch: OnEpoch = lambda epoch: None,
) -> TrainedSeed:
    """Train one seed to its end; the weights kept are the last ones, or their running mean.

    The same seed on the same machine with the same library versions repeats a run.

    Args:
        recipe: recipe to train; `examples` has split off its `validation_examples`.
        examples: images and labels.
        seed: 0 to 2**31 - 1.
        on_epoch: called after each epoch, from the calling thread.
    """
    keras.utils.set_random_seed(seed)
    started = time.perf_counter()
    model = build_model(recipe.learning_rate)
    if recipe.augmentation is None:
        history = _fit(model, recipe, examples, on_epoch)
    else:
        history = _fit_augmented(
            model,
            recipe,
            amounts=recipe.augmentation,
            examples=examples,
            seed=seed,
            on_epoch=on_epoch,
        )
    return TrainedSeed(seed, model, tuple(history), time.perf_counter() - started)


def _fit(
    model: keras.Sequential, recipe: Recipe, examples: Examples, on_epoch: OnEpoch
) -> list[Epoch]:
    """Train by the plain recipe: scaled images and `fit`."""
    if recipe.schedule != "constant" or recipe.ema_decay is not None:
        raise ValueError(
            f"recipe {recipe.name}: expected a constant rate and no running mean without "
            f"augmentation, got schedule={recipe.schedule}, ema_decay={recipe.ema_decay}"
        )
    history: list[Epoch] = []

    def note(index: int, logs: dict[str, float]) -> None:
        history.append(
            Epoch(index + 1, logs["loss"], logs["accuracy"], _validation_accuracy(model, examples))
        )
        on_epoch(history[-1])

    model.fit(
        examples.images.astype(np.float32) / np.float32(255),
        examples.labels,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)],
    )
    return history


def _fit_augmented(
    model: keras.Sequential,
    recipe: Recipe,
    *,
    amounts: Augmentation,
    examples: Examples,
    seed: int,
    on_epoch: OnEpoch,
) -> list[Epoch]:
    """Train with augmentation. Each epoch takes whole batches in a new order and leaves out the rest."""
    shares = np.ones(len(examples.images)) if examples.shares is None else examples.shares
    batch = min(recipe.batch_size, len(examples.images))
    steps = max(1, int(shares.sum()) // batch)
    optimizer = keras.optimizers.Adam(_rate(recipe, steps * recipe.epochs))
    weights = model.trainable_variables
    optimizer.build(weights)
    averages = [tf.Variable(weight.value) for weight in weights]
    decay = recipe.ema_decay or 0.0
    none_weight = 1.0 if recipe.ink is None else recipe.ink.none_weight
    images, labels = tf.constant(examples.images), tf.constant(examples.labels)
    strengths = tf.constant(
        np.ones(len(shares), np.float32) if examples.strengths is None else examples.strengths
    )

    def step(batch_images: Any, batch_labels: Any, draws: Draws) -> tuple[Any, Any]:
        distorted = warp(batch_images, draws, amounts)
        with tf.GradientTape() as tape:
            logits = logits_of([weight.value for weight in weights], distorted)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets(batch_labels), logits)
            loss = tf.reduce_mean(losses * tf.where(batch_labels < 0, none_weight, 1.0))
        optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)
        for average, weight in zip(averages, weights, strict=True):
            average.assign(decay * average + (1.0 - decay) * weight.value)
        right = tf.argmax(logits, axis=1, output_type=tf.int32) == batch_labels
        return loss, tf.stack([_count(right), _count(batch_labels >= 0)])

    compiled_step = tf.function(step, jit_compile=True)

    def epoch(order: Any, number: Any, strength: Any) -> tuple[Any, Any]:
        loss, right_of_digits = tf.constant(0.0), tf.constant([0.0, 0.0])
        for index in tf.range(steps):
            chosen = order[index]
            at = tf.stack([seed, 2 * (number * steps + index)])
            affine, elastic = draw(batch, at)
            each = strength * tf.gather(strengths, chosen)
            step_loss, step_right = compiled_step(
                tf.gather(images, chosen),
                tf.gather(labels, chosen),
                Draws(affine * each[:, None], elastic * each[:, None, None, None]),
            )
            loss += step_loss
            right_of_digits += step_right
        return loss / steps, right_of_digits[0] / right_of_digits[1]

    compiled_epoch = tf.function(epoch)
    orders = np.random.default_rng(seed)
    history: list[Epoch] = []
    for number in range(recipe.epochs):
        order = take(shares, orders)[: steps * batch].reshape(steps, batch)
        loss, accuracy = compiled_epoch(
            tf.constant(order, tf.int32),
            tf.constant(number),
            tf.constant(strength_at(amounts, number / recipe.epochs), tf.float32),
        )
        kept = averages if recipe.ema_decay is not None else weights
        history.append(
            Epoch(number + 1, float(loss), float(accuracy), _validation_accuracy(kept, examples))
        )
        on_epoch(history[-1])
    if recipe.ema_decay is not None:
        model.set_weights([average.numpy() for average in averages])
    return history


def take(shares: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Choose the images of an epoch, in a random order.

    Systematic sampling: one random number decides for all, so that an image with a share of 2.3 is
    taken two or three times, and eight are taken of 24 drawings with a share of 1/3 each.

    Args:
        shares: mean number of times that each is taken.
        rng: random generator.

    Returns: indices, as many as the sum of the shares, rounded down or up.
    """
    passed = np.floor(np.cumsum(shares) + rng.random()).astype(np.intp)
    return rng.permutation(np.repeat(np.arange(len(shares)), np.diff(passed, prepend=0)))


def strength_at(amounts: Augmentation, progress: float) -> float:
    """Give the factor on all amounts of distortion after `progress` (0 to 1) of the run."""
    easing = max(0.0, (progress - amounts.eases_from) / (1.0 - amounts.eases_from))
    return 1.0 - easing * (1.0 - amounts.eases_to)


def _count(marks: Any) -> Any:
    return tf.reduce_sum(tf.cast(marks, tf.float32))


def targets(labels: Any) -> Any:
    """Give targets, float32 (n, 10): 1 for the digit, or 0.1 for each digit if the label is -1."""
    none = tf.cast(labels < 0, tf.float32)[:, None]
    return tf.one_hot(labels, 10) + none / 10.0


def _rate(recipe: Recipe, steps: int) -> Any:
    if recipe.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
    return recipe.learning_rate


def _validation_accuracy(weights: Any, examples: Examples) -> float | None:
    if not len(examples.validation_images):
        return None
    if isinstance(weights, keras.Model):
        weights = weights.trainable_variables
    images = examples.validation_images.astype(np.float32) / np.float32(255)
    digits = np.argmax(np.asarray(logits_of(weights, images)), axis=1)
    return float(np.mean(digits == examples.validation_labels))
