"""All settings of Larder: the sections of `larder.toml`, and the `LARDER_*` variables of the environment."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from larder.settings.als_section import AlsSettings
from larder.settings.environment import NestedVariables
from larder.settings.evaluation_section import EvaluationSettings
from larder.settings.events_section import EventsSettings
from larder.settings.experiments_section import ExperimentSettings, Name
from larder.settings.lists_section import ListsSettings
from larder.settings.lookup_section import LookupSettings
from larder.settings.redis_section import RedisSettings
from larder.settings.report_section import ReportSettings
from larder.settings.roll_up_section import RollUpSettings
from larder.settings.s3_section import S3Settings
from larder.settings.similar_section import SimilarSettings
from larder.settings.spark_section import SparkSettings
from larder.settings.storage_section import StorageSettings
from larder.settings.vision_section import VisionSettings
from larder.settings.weights_section import WeightsSettings


class Settings(BaseSettings):
    """All settings. `LARDER_REDIS__URL=...` in the environment sets `url` of `[redis]`."""

    model_config = SettingsConfigDict(env_prefix="LARDER_", env_nested_delimiter="__", extra="forbid", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over what the file (passed as arguments) says."""
        return NestedVariables(settings_cls), init_settings

    storage: StorageSettings = StorageSettings()
    s3: S3Settings = S3Settings()
    events: EventsSettings = EventsSettings()
    weights: WeightsSettings = WeightsSettings()
    roll_up: RollUpSettings = RollUpSettings()
    als: AlsSettings = AlsSettings()
    vision: VisionSettings = VisionSettings()
    lists: ListsSettings = ListsSettings()
    similar: SimilarSettings = SimilarSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    redis: RedisSettings = RedisSettings()
    lookup: LookupSettings = LookupSettings()
    experiments: dict[Name, ExperimentSettings] = Field(default_factory=dict)
    report: ReportSettings = ReportSettings()
    spark: SparkSettings = SparkSettings()
