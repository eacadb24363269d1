"""Builds what `[vision]` of the settings describes: the network, its optimizer and its training schedule."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from larder.models.vision.backbones import Backbone, is_file
from larder.models.vision.federated import OuterStep
from larder.models.vision.network import NO_PAIRS, NetworkHead, build_model, compile_model
from larder.settings.vision_section import VisionSettings
from larder.storage import StoragePath

if TYPE_CHECKING:
    import keras

    from larder.jobs.vision.data_parallel import TrainingSchedule

SMALL = "small"  # the value of vision.backbone for Larder's own network


def backbone_of(vision: VisionSettings) -> Backbone | None:
    """Returns the backbone that the settings name, None for the small one. Raises FileNotFoundError for its files."""
    if vision.backbone == SMALL:
        return None
    file = vision.backbone if is_file(vision.backbone) else vision.backbone_weights
    weights = StoragePath(file).read() if file else None
    return Backbone(vision.backbone, weights, file, vision.backbone_download, vision.backbone_frozen)


def models_of(vision: VisionSettings, shares: Any, backbone: Backbone | None) -> tuple[keras.Model, keras.Model]:
    """Returns the model for inference and the model to train.

    With the contrastive objective they are two models with the same weights, otherwise one.
    """
    parts = (vision.image_size, vision.embedding, shares, vision.seed, backbone)
    head = NetworkHead(vision.palette, vision.hidden, vision.dropout, vision.augment)
    model = build_model(*parts, NO_PAIRS, head)
    pairs = (vision.pair_weight, vision.pair_temperature)
    return model, build_model(*parts, pairs, head) if vision.pair_weight else model


def compile_for(model: keras.Model, vision: VisionSettings, samples: int) -> None:
    """Compiles the model for training with these settings, on workers with `samples` samples each."""
    steps = ceil(samples / vision.batch_size)  # of an epoch
    compile_model(
        model,
        vision.learning_rate,
        falls_over=steps * vision.epochs if vision.learning_rate_schedule == "cosine" else 0,
        rises_over=round(steps * vision.warm_up_epochs),
    )


def schedule_of(vision: VisionSettings) -> TrainingSchedule:
    """Returns the training schedule that the settings describe."""
    from larder.jobs.vision.data_parallel import TrainingSchedule

    return TrainingSchedule(
        vision.epochs,
        vision.epochs_per_round,
        vision.batch_size,
        vision.seed,
        vision.patience,
        vision.precision,
        OuterStep(vision.outer_learning_rate, vision.outer_momentum),
    )
