"""What a variant is made of: the interface, networks, losses, conditioning, sampling."""

from gankit.core.types import Batch, Carry, Noise, Spec
from gankit.models.adversarial import AVERAGED, AdversarialModel, AdversarialOptions
from gankit.models.augmentation import augmented, draw_augmentation
from gankit.models.autoencoder import Autoencoder, AutoencoderOptions, convolutions, pairs, shown, strides, transposed
from gankit.models.conditional import ConditionalModel, ConditionalOptions, LabelledModel
from gankit.models.image_pool import ImagePool
from gankit.models.interface import (
    Conditional,
    Encoder,
    Model,
    OptimSpec,
    Phase,
    Quantised,
    Terms,
    Translator,
    Variant,
)
from gankit.models.label_embedding import LabelOptions, shares
from gankit.models.losses import bce_fake, bce_real, generator_loss, hinge_fake, hinge_real, least_squares
from gankit.models.networks import (
    Architecture,
    Discriminator,
    Generator,
    NetworkOptions,
    OwnInitial,
    doublings,
    drop,
    flat,
    forward_batched,
    initialise,
    needs_bias,
    norm,
)

__all__ = [
    "AVERAGED", "AdversarialModel", "AdversarialOptions", "Architecture", "Autoencoder", "AutoencoderOptions", "Batch",
    "Carry",
    "Conditional", "ConditionalModel", "ConditionalOptions", "Discriminator", "Encoder", "Generator", "ImagePool",
    "LabelOptions", "LabelledModel", "Model", "NetworkOptions", "Noise", "OptimSpec", "OwnInitial", "Phase",
    "Quantised", "Spec", "Terms", "Translator", "Variant", "augmented", "bce_fake", "bce_real", "convolutions",
    "doublings", "draw_augmentation", "drop", "flat", "forward_batched", "generator_loss", "hinge_fake", "hinge_real",
    "initialise", "least_squares",
    "needs_bias", "norm", "pairs", "shares", "shown", "strides", "transposed",
]  # fmt: skip
