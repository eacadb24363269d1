"""The section `[vision]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from larder.settings.section import Section

MOST_PIXELS = 178_956_970  # Pillow opens no larger picture
NETWORK_FILE = ".keras"  # how a file ends that holds a network and its weights


class VisionSettings(Section):
    """The vision model and its data-parallel training."""

    image_size: int = Field(64, ge=16, le=512, description="pixels a side")
    max_pixels: int = Field(
        40_000_000, ge=1, le=MOST_PIXELS, description="a larger picture is quarantined, not decoded"
    )
    max_bytes: int = Field(50_000_000, ge=1, description="nor is a larger file read")
    min_side: int = Field(8, ge=1, description="a picture with fewer pixels a side is a placeholder, and quarantined")
    read_ahead: int = Field(8, ge=1, description="files that a task reads before it needs them")
    embedding: int = Field(64, ge=2, description="floats of an embedding")
    epochs: int = Field(24, ge=1)
    epochs_per_round: int = Field(1, ge=1, description="local epochs of a worker between two averages")
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(0.003, gt=0)
    learning_rate_schedule: Literal["constant", "cosine"] = Field(
        "constant", description="cosine: falls to 0 over all epochs"
    )
    warm_up_epochs: float = Field(0.0, ge=0, description="the learning rate rises from 0 over so many")
    outer_learning_rate: float = Field(
        1.0, gt=0, description="of the driver's step along the workers' mean; 1, without momentum: to the mean itself"
    )
    outer_momentum: float = Field(0.0, ge=0, lt=1, description="Nesterov's, of that step, as in DiLoCo")
    validation: float = Field(
        0.0, ge=0, lt=1, description="share of the training pictures that the driver keeps to measure each round by"
    )
    patience: int = Field(0, ge=0, description="rounds without a better validation after which training stops; 0: all")
    precision: Literal["auto", "float32", "mixed_bfloat16"] = Field(
        "auto", description="of training; auto: mixed_bfloat16 on a GPU that has it, else float32"
    )
    pair_weight: float = Field(
        0.0, ge=0, description="of the second objective: pictures of products bought together lie near; 0: none"
    )
    pair_temperature: float = Field(0.1, gt=0, description="of that objective's softmax")
    pairs_of_product: int = Field(8, ge=1, description="partners that a product has at most")
    backbone: str = Field(
        "small",
        description="small, trained from scratch; a network of keras.applications; or a .keras file, local or s3a://, "
        "of a network that takes values from 0 to 255",
    )
    backbone_weights: str = Field("", description="file with that network's weights, without its top; local or s3a://")
    backbone_download: bool = Field(False, description="let Keras fetch the network's weights")
    backbone_frozen: bool = Field(False, description="train only what is above the network")
    palette: bool = Field(
        False, description="the embedding sees the picture's colours too, beside the network's features"
    )
    hidden: int = Field(0, ge=0, description="units of a layer between those and the embedding; 0: none")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of features, and of that layer's, left out at each step")
    augment: bool = Field(True, description="training shows pictures a little moved, brighter or dimmer")
    ensemble: int = Field(1, ge=1, description="networks trained, each by its own seed, whose embeddings are joined")
    workers: int = Field(2, ge=1, description="Spark partitions trained in parallel")
    held_out: float = Field(0.2, ge=0, lt=1, description="share of products kept from training, to measure on")
    min_label_count: int = Field(5, ge=1, description="a category with fewer products is no label")
    seed: int = 42

    @model_validator(mode="after")
    def patience_needs_validation(self) -> VisionSettings:
        if self.patience and not self.validation:
            raise ValueError("patience needs pictures to measure by: set vision.validation, such as 0.1")
        if self.pair_weight and self.batch_size % 2:
            raise ValueError("half of a batch are partners of the other half: vision.batch_size must be even")
        if self.backbone.endswith(NETWORK_FILE) and (self.backbone_weights or self.backbone_download):
            raise ValueError("a .keras file has its weights: leave out vision.backbone_weights and backbone_download")
        return self
