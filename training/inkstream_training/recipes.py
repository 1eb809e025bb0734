"""Holds the training recipes: all choices that are made before training starts, as frozen values.

A recipe names the data and the settings; the architecture is the same for all of them
(`architecture.py`). To add one, add a `Recipe` to `RECIPES`. A recipe that learns from more than MNIST
names its sources, which `examples.py` turns into arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "RECIPES",
    "Augmentation",
    "ImageMixture",
    "InkMixture",
    "Recipe",
    "StrokeDistortion",
    "StrokeRecipe",
    "TraceDistortion",
]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random distortion of every image at every step; all amounts are symmetric about 0.

    The amounts are those of the project's first trial. The elastic part is Simard, Steinkraus &
    Platt, "Best practices for convolutional neural networks", ICDAR 2003.
    """

    rotation_deg: float = 10.0
    """Largest rotation either way, degrees, uniform."""

    log_scale: float = 0.12
    """Largest natural logarithm of the scale of each axis, uniform: 0.12 is 0.89 to 1.13."""

    shear: float = 0.12
    """Largest horizontal shear, pixels a pixel, uniform."""

    shift_px: float = 1.5
    """Largest shift of each axis, pixels, uniform."""

    elastic_alpha: float = 36.0
    """Strength of the elastic displacement: factor on uniform noise in -1..1 after smoothing."""

    elastic_sigma: float = 5.0
    """Standard deviation of the Gaussian that smooths the displacement, pixels."""

    eases_from: float = 0.5
    """Share of the run, below 1, after which all amounts fall linearly."""

    eases_to: float = 1.0
    """Factor on all amounts at the end; 1 keeps them."""


@dataclass(frozen=True, slots=True)
class StrokeDistortion:
    """Random distortion of pen ink before it is drawn; lengths in units of the longest side."""

    rotation_deg: float = 8.0
    """Largest rotation either way, degrees, uniform."""

    log_aspect: float = 0.15
    """Largest natural logarithm by which width grows and height shrinks, or the reverse, uniform."""

    slant: float = 0.25
    """Largest slant either way, width a height, uniform."""

    elastic: float = 0.035
    """Standard deviation of the smooth displacement along each axis."""

    bend: float = 3.0
    """Standard deviation of that displacement's wave numbers, radians a side: 3 is half a wave."""

    stroke_shift: float = 0.025
    """Standard deviation of the shift of each single stroke along each axis."""

    coarse_chance: float = 0.15
    """Share of glyphs whose points are rounded to a grid, as coarse tablets do."""

    coarse_steps: tuple[float, float] = (12.0, 30.0)
    """Fewest and most steps of that grid a side."""

    short_chance: float = 0.3
    """Share of glyphs of which one stroke falls short at one end."""

    short_share: float = 0.15
    """Largest share of that stroke's points that is missing."""

    pen_widths: tuple[float, float] = (1.8, 3.2)
    """Least and greatest width of the pen, pixels, uniform; a server draws with 2.4."""

    reversed_chance: float = 0.0
    """Share of glyphs of which each stroke is written backwards with a chance of one half."""

    shuffled_chance: float = 0.0
    """Share of the glyphs of several strokes whose strokes come in another order."""


@dataclass(frozen=True, slots=True)
class InkMixture:
    """Amounts of pen ink in an epoch of a network.

    More ink is written than an epoch holds; each epoch takes a random part of it. The amounts were chosen in
    short runs, on validation writers and on thirds of UNIPEN's training writers held out in turn.
    """

    distortion: StrokeDistortion = StrokeDistortion()
    """Distortion of each digit and letter before a network sees it."""

    has_strings: bool = True
    """Whether digits cut from strings of digits are among the digits: 1,695 of 92 writers, 59 of whom wrote
    no single digit."""

    digit_drawings: int = 24
    """Number of distorted drawings of each digit."""

    digit_repeats: float = 8.0
    """Mean number of times that an epoch holds each digit, in any of its drawings."""

    writer_evenness: float = 0.6
    """Exponent e: a digit has the weight n ** -e, where n is the number of digits of its writer. 0 gives all
    digits the same weight, 1 all writers."""

    prefixes: tuple[int, ...] = (4, 8, 4, 4, 8, 4, 4, 8, 20, 24)
    """Number of digits cut short that are made of each 0, each 1, … each 9.

    They are drawn with the server's width: only a server sees unfinished ink, and with other widths the
    network would also reject digits of MNIST, above all ones. Half a 1 is a 1, and half an 8 or a 9 is a 0,
    so these digits get more of them."""

    prefix_repeats: float = 0.125
    """Mean number of times that an epoch holds each digit cut short."""

    merged: int = 20_000
    """Number of inks of two digits that a wrong cut leaves together, or of a digit and a part of its
    neighbour."""

    merged_repeats: float = 0.3
    """Mean number of times that an epoch holds each of them."""

    letter_drawings: int = 12
    """Number of distorted drawings of each letter or symbol."""

    letter_repeats: float = 8.0
    """Mean number of times that an epoch holds each letter or symbol, in any of its drawings."""

    scribbles: int = 1_000
    """Number of scribbles, drawn with the server's width."""

    none_weight: float = 0.2
    """Weight in the loss of what is no digit; a digit has 1. A larger weight makes the network less
    sure of digits, too. The temperature then falls to correct that, which makes it sure of half a digit.
    On held-out UNIPEN writers 0.35 read 97.2 %, 0.2 97.7 % and 0.1 97.9 %, but with 0.1 letters passed as
    digits (AUROC 96.2 % instead of 97.3 %)."""

    halves_sure: float = 0.03
    """Largest share of validation digits, cut at half of their ink, that may get a confidence above 0.99. If
    the fitted temperature of ink leaves more, it is raised."""

    seed: int = 1
    """Seed of these drawings, the same for every seed of training."""


@dataclass(frozen=True, slots=True)
class ImageMixture:
    """Amounts of images in an epoch of the network for images, beside pen ink."""

    mnist_repeats: float = 2.5
    """Mean number of times that an epoch holds each MNIST image."""

    ink_strength: float = 0.7
    """Factor on the distortion of images for pen ink, whose strokes are distorted already."""

    letter_repeats: float = 1.5
    """Mean number of times that an epoch holds each EMNIST letter that resembles no digit. It holds each as
    it is, and as large as a digit, so that size alone does not tell a letter."""

    blanks: int = 200
    """Number of images without ink."""


@dataclass(frozen=True, slots=True)
class TraceDistortion:
    """Random distortion of every trace at every step; lengths in units of the longest side."""

    rotation_deg: float = 8.0
    """Largest rotation either way, degrees, uniform."""

    log_aspect: float = 0.12
    """Largest natural logarithm by which width grows and height shrinks, or the reverse, uniform."""

    slant: float = 0.2
    """Largest slant either way, width a height, uniform."""

    elastic: float = 0.03
    """Standard deviation of the smooth displacement along each axis."""

    bend: float = 3.0
    """Standard deviation of that displacement's wave numbers, radians a side."""

    backwards_chance: float = 0.05
    """Share of traces that are written backwards from end to beginning."""


@dataclass(frozen=True, slots=True)
class StrokeRecipe:
    """Settings of the network for strokes, which answers ink beside the network for images.

    Chosen in short runs on validation writers, by the likelihood of both networks' answers. Reversed and
    shuffled strokes matter: people draw the same shape in many ways, and the training writers show few of
    them. Without `distortion` and `dropout`, 60 epochs gave a likelihood loss of 0.157 alone; with them, 14
    epochs gave 0.085.
    """

    epochs: int = 30
    """Passes over an epoch of ink."""

    batch_size: int = 256
    """Glyphs a step."""

    learning_rate: float = 2e-3
    """Adam's step size at the start; it falls to 0 as a cosine."""

    ema_decay: float = 0.999
    """Decay a step of the running mean of the weights that is kept."""

    dropout: float = 0.3
    """Share of the features that the dense layers do not see at a step of training."""

    distortion: TraceDistortion = TraceDistortion()
    """Distortion at every step, beside that of the drawings."""

    ink: InkMixture = InkMixture(
        distortion=StrokeDistortion(
            rotation_deg=10.0,
            slant=0.3,
            elastic=0.04,
            short_chance=0.35,
            reversed_chance=0.25,
            shuffled_chance=0.15,
        ),
        # Their strokes begin and end where the neighbours are. A run with them read single digits of
        # validation's writers no better by its 17th epoch, and was stopped.
        has_strings=False,
        digit_repeats=6.0,
        letter_repeats=6.0,
        merged_repeats=0.6,
        scribbles=2_000,
    )
    """What it learns from."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of one model's training."""

    name: str
    """Name for `--recipe`."""

    model_name: str
    """Folder and served name of the model."""

    description: str
    """One sentence for the card."""

    epochs: int
    """Passes over the training images."""

    batch_size: int
    """Images a step."""

    learning_rate: float
    """Adam's step size at the start."""

    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` falls from `learning_rate` to 0 over the whole run."""

    ema_decay: float | None = None
    """Decay a step of the running mean of the weights that is kept; None keeps the last weights."""

    augmentation: Augmentation | None = None
    """None: images as they are."""

    validation_examples: int = 0
    """How many images at the end of the MNIST training file are held out; 0 trains on all 60,000.

    Their writers are not those of the test set. A block at the end, not a random sample, needs no
    random generator to repeat and keeps neighbours in the file on one side.
    """

    fits_temperature: bool = False
    """Whether a temperature is fitted on the held-out images and folded into the last layer."""

    sources: tuple[str, ...] = ("mnist",)
    """Sources of the examples, in order."""

    ink: InkMixture | None = None
    """Pen ink to learn beside MNIST; None for MNIST alone."""

    mixture: ImageMixture = ImageMixture()
    """Amounts of images beside pen ink; unused without ink."""

    strokes: StrokeRecipe | None = None
    """The second network, for strokes; None for one network. Needs `ink`."""

    version: str = "1"
    """Version below the model's name that `train` writes by default."""

    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds trained by default; one of them is served (see `selection`)."""

    def __post_init__(self) -> None:
        if self.fits_temperature and not self.validation_examples:
            raise ValueError(
                "fits_temperature: expected validation_examples > 0 to fit it on, got 0"
            )
        if self.strokes is not None and self.ink is None:
            raise ValueError("strokes: expected ink, which both networks answer, got ink=None")
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"epochs, batch_size: expected at least 1, got {self.epochs}, {self.batch_size}"
            )

    @property
    def selection(self) -> str:
        """Describe which of the trained seeds is served. The test set is not used."""
        if not self.validation_examples:
            return "the first seed: nothing is held out to choose by"
        held_out = (
            f"the last {self.validation_examples:,} images of the MNIST training file, "
            f"held out of training"
        )
        if self.ink is not None:
            held_out += ", and, weighing as much, the digits of validation's writers"
        return f"the seed with the lowest negative log-likelihood after temperature on {held_out}"


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="plain",
            model_name="digits-plain",
            description=(
                "The recipe as first stated: Adam, sparse categorical cross-entropy, "
                "images scaled to 0..1, no augmentation."
            ),
            epochs=10,
            batch_size=128,
            learning_rate=1e-3,
        ),
        # Epochs by the held-out images, seed 1: 200 gave 31 errors and a likelihood loss of 0.0225,
        # 400 gave 25 and 0.0209, 800 gave 28 and 0.0207.
        Recipe(
            name="augmented",
            model_name="digits",
            description=(
                "The same network trained on affinely and elastically distorted images, "
                "with averaged weights and calibrated confidence."
            ),
            epochs=400,
            batch_size=256,
            learning_rate=2e-3,
            schedule="cosine",
            ema_decay=0.999,
            augmentation=Augmentation(),
            validation_examples=5_000,
            fits_temperature=True,
        ),
        # Pen ink comes centred and scaled by the server's own code, so it is moved and scaled less.
        Recipe(
            name="ink",
            model_name="digits",
            description=(
                "The same network for tensors and, beside a network for strokes, for pen ink: MNIST, "
                "strokes of three collections written anew at random, and what is no digit with a "
                "uniform target."
            ),
            epochs=90,
            batch_size=256,
            learning_rate=2e-3,
            schedule="cosine",
            ema_decay=0.999,
            augmentation=Augmentation(shift_px=0.7, log_scale=0.1, elastic_alpha=32.0),
            validation_examples=5_000,
            fits_temperature=True,
            sources=("mnist", "pendigits", "unipen", "uji", "emnist_letters"),
            ink=InkMixture(),
            strokes=StrokeRecipe(),
            version="4",
        ),
    )
}
"""All recipes by name."""
