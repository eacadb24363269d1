"""The section `[vision]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from larder.settings.section import Section

MOST_PIXELS = 178_956_970  # Pillow opens no larger picture
NETWORK_FILE = ".keras"  # suffix of a file that holds a network and its weights


class VisionSettings(Section):
    """Which pictures are read, the vision model, and its data-parallel training."""

    image_size: int = Field(
        64, ge=16, le=512, description="Side, in pixels, of the square that every picture is resized to."
    )
    max_pixels: int = Field(
        40_000_000,
        ge=1,
        le=MOST_PIXELS,
        description="Pixels (width x height) that a picture may have. A larger one is quarantined without being "
        "decoded.",
    )
    max_bytes: int = Field(
        50_000_000,
        ge=1,
        description="Bytes that a picture file may have. A larger one is quarantined without being read.",
    )
    min_side: int = Field(
        8,
        ge=1,
        description="Pixels that each side of a picture must have. A smaller one is quarantined as a placeholder.",
    )
    decode_seconds: int = Field(
        10,
        ge=1,
        description="Seconds of processor time that decoding a picture may take. A slower one is quarantined.",
    )
    read_ahead: int = Field(8, ge=1, description="Picture files that a task fetches before it needs them.")
    embedding: int = Field(64, ge=2, description="Floats in the embedding of a picture.")
    epochs: int = Field(24, ge=1, description="Passes of the training over all training pictures.")
    epochs_per_round: int = Field(
        1, ge=1, description="Epochs that each worker trains on its own pictures between two averagings of the weights."
    )
    batch_size: int = Field(16, ge=1, description="Pictures in one training step of a worker.")
    learning_rate: float = Field(0.003, gt=0, description="Learning rate of the workers' optimiser, Adam.")
    learning_rate_schedule: Literal["constant", "cosine"] = Field(
        "constant", description="How the learning rate changes over all epochs. cosine: it falls to 0."
    )
    warm_up_epochs: float = Field(
        0.0, ge=0, description="Epochs in which the learning rate rises from 0 to its full value. 0: no warm-up."
    )
    outer_learning_rate: float = Field(
        1.0,
        gt=0,
        description="Step of the driver towards the mean of the workers' weights after a round. 1, without momentum: "
        "the mean itself.",
    )
    outer_momentum: float = Field(
        0.0, ge=0, lt=1, description="Nesterov momentum of the driver's step, as in DiLoCo. 0: none."
    )
    validation: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the training pictures on which the driver measures each round. 0: rounds are not "
        "measured.",
    )
    patience: int = Field(
        0,
        ge=0,
        description="Rounds without a better validation result after which training stops. 0: all epochs are trained.",
    )
    precision: Literal["auto", "float32", "mixed_bfloat16"] = Field(
        "auto", description="Arithmetic of the training. auto: mixed_bfloat16 on a GPU that supports it, else float32."
    )
    pair_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of a second objective, which brings pictures of products bought together closer. 0: none.",
    )
    pair_temperature: float = Field(0.1, gt=0, description="Softmax temperature of the second objective.")
    pairs_of_product: int = Field(8, ge=1, description="Partners that a product may have in the second objective.")
    backbone: str = Field(
        "small",
        description="Network below the embedding. small: trained from scratch; else the name of a network of "
        "keras.applications, or a .keras file (local or s3a://) whose network takes pixel values from 0 to 255.",
    )
    backbone_weights: str = Field(
        "",
        description="File (local or s3a://) with weights, without the top, for the named network of "
        "keras.applications. Empty: random weights, unless backbone_download is set.",
    )
    backbone_download: bool = Field(
        False, description="Whether Keras downloads ImageNet weights for the named network of keras.applications."
    )
    backbone_frozen: bool = Field(
        False, description="Whether the backbone keeps its weights, so that only the layers above it are trained."
    )
    palette: bool = Field(
        False,
        description="Whether the embedding also sees a colour histogram of the picture, beside the backbone's "
        "features.",
    )
    hidden: int = Field(
        0, ge=0, description="Units of a layer between the features and the embedding. 0: no such layer."
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the features, and of the hidden layer's outputs, that a training step leaves out. 0: "
        "no dropout.",
    )
    augment: bool = Field(True, description="Whether training shifts pictures a little and changes their brightness.")
    ensemble: int = Field(
        1, ge=1, description="Networks that are trained, each from its own seed; their embeddings are concatenated."
    )
    workers: int = Field(2, ge=1, description="Spark partitions that train in parallel.")
    held_out: float = Field(
        0.2, ge=0, lt=1, description="Share of the products that training never sees, for evaluation."
    )
    min_label_count: int = Field(
        5, ge=1, description="Products that a category must have to be a label of the training."
    )
    seed: int = Field(42, description="Seed of the initial weights and of the order of the pictures.")

    @model_validator(mode="after")
    def settings_agree(self) -> VisionSettings:
        if self.patience and not self.validation:
            raise ValueError("patience needs pictures to measure by: set vision.validation, such as 0.1")
        if self.pair_weight and self.batch_size % 2:
            raise ValueError("half of a batch are partners of the other half: vision.batch_size must be even")
        if self.backbone.endswith(NETWORK_FILE) and (self.backbone_weights or self.backbone_download):
            raise ValueError("a .keras file has its weights: leave out vision.backbone_weights and backbone_download")
        return self
