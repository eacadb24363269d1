"""Typed settings: one `larder.toml`, and `LARDER_*` environment variables over it.

The section `[als]` is the class `AlsSettings` in `als_section.py`, and so for every section.
"""

from larder.settings.als_section import AlsSettings
from larder.settings.evaluation_section import EvaluationSettings
from larder.settings.events_section import EventsSettings
from larder.settings.experiments_section import ArmSettings, ExperimentSettings, ExploreSettings
from larder.settings.lists_section import ListsSettings
from larder.settings.loading import SettingsError, load_settings
from larder.settings.lookup_section import LookupSettings, SceneSettings
from larder.settings.redis_section import RedisSettings
from larder.settings.report_section import MetricSettings, ReportSettings
from larder.settings.roll_up_section import RollUpSettings
from larder.settings.s3_section import S3Settings
from larder.settings.settings import Settings
from larder.settings.similar_section import SimilarSettings
from larder.settings.spark_section import SparkSettings
from larder.settings.storage_section import StorageSettings
from larder.settings.vision_section import MOST_PIXELS, NETWORK_FILE, VisionSettings
from larder.settings.weights_section import WeightsSettings

__all__ = [
    "MOST_PIXELS",
    "NETWORK_FILE",
    "AlsSettings",
    "ArmSettings",
    "EvaluationSettings",
    "EventsSettings",
    "ExperimentSettings",
    "ExploreSettings",
    "ListsSettings",
    "LookupSettings",
    "MetricSettings",
    "RedisSettings",
    "ReportSettings",
    "RollUpSettings",
    "S3Settings",
    "SceneSettings",
    "Settings",
    "SettingsError",
    "SimilarSettings",
    "SparkSettings",
    "StorageSettings",
    "VisionSettings",
    "WeightsSettings",
    "load_settings",
]
