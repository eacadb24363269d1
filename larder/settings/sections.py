"""Every setting, its type, default and unit, one class a section of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from larder.settings.environment import NestedVariables
from larder.settings.lookup_section import Lookup
from larder.settings.section import Section

MOST_PIXELS = 178_956_970  # Pillow opens no larger picture
NETWORK_FILE = ".keras"  # how a file ends that holds a network and its weights


class Storage(Section):
    """Where data lies. Local paths, `s3a://` and `hdfs://` URIs; a relative path is relative to the settings file."""

    events: str = Field("data/events", description="folder of dt=YYYY-MM-DD/hr=HH/ partitions")
    tables: str = Field("data/tables", description="where Larder keeps its own tables")
    catalogue: str = Field("data/catalogue.parquet", description="Parquet file or folder of products")
    images: str = Field(
        "", description="prefix for relative image URIs of the catalogue; empty: the catalogue's folder"
    )


class S3(Section):
    """Where S3 is, if not at Amazon; AWS_ENDPOINT_URL and AWS_REGION win. Keys are found as its tools do."""

    endpoint: str = Field("", pattern="^(https?://.+)?$", description="URL of another store that speaks S3")
    region: str = ""


class Events(Section):
    """How raw events are read and which are believed."""

    format: Literal["parquet", "json"] = Field("parquet", description="json: one object a line; .gz, .zst, .bz2 too")
    columns: dict[str, str] = Field(
        default_factory=dict, description="event column of the contract -> column of your logs"
    )
    success_file: str = Field("", description="an hour without this file, such as _SUCCESS, is not complete yet")
    quiet_minutes: int = Field(0, ge=0, description="nor is one written to within so many minutes; 0: no such rule")
    max_lateness_hours: int = Field(168, ge=0, description="an event older than its partition by more is quarantined")
    max_events_an_hour: int = Field(
        10_000, ge=1, description="a cookie with more is a bot: set aside and counted, its events are not"
    )
    rows_per_file: int = Field(
        2_000_000, ge=1, description="an hour with more input rows is split; a task holds so many in memory"
    )

    @field_validator("columns")
    @classmethod
    def only_contract_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        known = {
            "event_id", "ts", "cookie_id", "session_id", "location", "device",
            "product_id", "event_type", "quantity", "price", "request_id",
        }  # fmt: skip
        unknown = sorted(set(columns) - known)
        if unknown:
            raise ValueError(f"not columns of the event contract: {unknown}; known: {sorted(known)}")
        return columns


class Weights(Section):
    """How much one event of each type says about taste; 0 leaves the type out."""

    impression: float = Field(0.0, ge=0)
    view: float = Field(0.2, ge=0)
    add_to_cart: float = Field(0.5, ge=0)
    purchase: float = Field(1.0, ge=0)


class RollUp(Section):
    """Running, exponentially decayed counts."""

    interactions_half_life_days: float = Field(120.0, gt=0)
    contexts_half_life_days: float = Field(14.0, gt=0)
    horizon_days: int = Field(365, gt=0, description="interactions not touched for longer fall out")
    ranges: int = Field(
        8, ge=1, le=4096, description="files of a state, a power of two; a task holds one in memory: some million rows"
    )

    @field_validator("ranges")
    @classmethod
    def a_power_of_two(cls, ranges: int) -> int:
        if ranges & (ranges - 1):
            raise ValueError(f"must be a power of two, and {ranges} is not")
        return ranges


class Als(Section):
    """Implicit-feedback alternating least squares (Hu, Koren, Volinsky 2008)."""

    engine: Literal["larder", "mllib"] = Field("larder", description="mllib: Spark's own, far slower, to compare with")
    rank: int = Field(64, ge=1)
    iterations: int = Field(10, ge=1)
    regularisation: float = Field(0.1, ge=0)
    scaling: float = Field(
        1.0, ge=0, le=2, description="the regularisation grows with interactions to this power; 0: the same for all"
    )
    alpha: float = Field(1.0, gt=0)
    seed: int = 42
    blocks: int = Field(4, ge=1, description="tasks that share each pass over users: the parallelism of the training")
    interactions_per_block: int = Field(500_000, ge=1, description="interactions that a task holds at a time")
    user_steps: int = Field(3, ge=1, description="steps of conjugate gradients a user in each iteration")
    item_steps: int = Field(2, ge=1, description="likewise an item; each is a pass over all interactions")


class Vision(Section):
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
    def patience_needs_validation(self) -> Vision:
        if self.patience and not self.validation:
            raise ValueError("patience needs pictures to measure by: set vision.validation, such as 0.1")
        if self.pair_weight and self.batch_size % 2:
            raise ValueError("half of a batch are partners of the other half: vision.batch_size must be even")
        if self.backbone.endswith(NETWORK_FILE) and (self.backbone_weights or self.backbone_download):
            raise ValueError("a .keras file has its weights: leave out vision.backbone_weights and backbone_download")
        return self


class Lists(Section):
    """What is precomputed."""

    personal: int = Field(30, ge=1, le=120, description="items of a cookie's list")
    similar: int = Field(30, ge=1, le=120, description="items of a product's list")
    generic: int = Field(50, ge=1, le=120, description="items of a location-device list")
    rebuy: Literal["allow", "mask"] = Field("allow", description="may a list hold what the cookie bought before?")
    rebuy_after_days: float = Field(
        0.0, ge=0, description="where it may: what the cookie bought within so many days is left out"
    )
    rebuy_weight: float = Field(
        0.7, ge=0, le=1, description="share of what was bought before in the score, where allowed and without weights"
    )
    weights: str = Field("", description="file that `larder tune-lists` wrote; empty: rebuy_weight alone decides")
    candidates: int = Field(
        100,
        ge=1,
        description="with weights: products that a cookie never bought that are looked at, best by factors; "
        "at least personal + over_fetch",
    )
    over_fetch: int = Field(0, ge=0, le=120, description="items more in a cookie's list, for the endpoint to mask")
    exclude: list[str] = Field(default_factory=list, description="products that stand in no list")
    exclude_file: str = Field("", description="and those of this file, an id a line")
    category_levels: int = Field(
        0, ge=0, le=3, description="levels of the catalogue's path that make a category, for the next two; 0: all"
    )
    most_of_category: int = Field(0, ge=0, description="products of a category in a personal or generic list; 0: any")
    diversity: float = Field(
        0.0, ge=0, description="what each product of a category costs the next one of it, in scores (log-odds)"
    )
    min_support: float = Field(5.0, ge=0, description="decayed count below which a product is not popular anywhere")
    min_products: int = Field(10, ge=1, description="a location-device with fewer popular products uses its parent")

    @model_validator(mode="after")
    def candidates_fill_a_list(self) -> Lists:
        if self.weights and self.candidates < self.personal + self.over_fetch:
            raise ValueError("candidates must be at least personal + over_fetch, or lists come out short")
        return self


class Similar(Section):
    """Which products stand in a product's list, of those whose pictures are most alike."""

    in_stock: bool = Field(True, description="only what the catalogue does not say is out of stock")
    department: Literal["any", "same", "other"] = Field(
        "any", description="beside the product's own, which is the first name of its category path"
    )
    price_ratio: float = Field(0.0, ge=0, description="at most so many times dearer or cheaper; 0: at any price")
    other_sizes: bool = Field(True, description="may it hold the same product in another size, or one in two sizes?")
    same_product: str = Field(
        "", description="column of the catalogue that is equal for one product in all sizes; empty: its brand and title"
    )
    fold_above: float = Field(
        0.999, gt=0, le=1, description="of pictures with a greater cosine one is listed, the nearest; 1: all are"
    )
    exact_up_to: int = Field(1_000_000, ge=1, description="more pictures are filed in cells, and few cells looked into")
    probes: int = Field(48, ge=1, description="cells that a product looks into, in the mean and at least")
    least_recall: float = Field(0.95, ge=0, le=1, description="share of the exact neighbours to find, by more cells")
    by_category: bool = Field(True, description="a product without a picture gets what sells in its category")

    @field_validator("price_ratio")
    @classmethod
    def nothing_below_one(cls, price_ratio: float) -> float:
        if 0 < price_ratio < 1:
            raise ValueError("must be 0 or at least 1: twice as dear is 2, and so is half the price")
        return price_ratio


class Evaluation(Section):
    """How lists are measured."""

    users: int = Field(20_000, ge=1, description="at most so many users are measured")
    least_ratio_to_popularity: float = Field(
        0.0, ge=0, description="the gate: NDCG@10 on new products, personal over popularity; below it none is published"
    )
    cold_products: int = Field(20, ge=1, description="a user who bought fewer products is cold, and measured apart")
    diversities: list[float] = Field(default_factory=list, description="values of lists.diversity to measure besides")
    peers: bool = Field(False, description="measure implicit, too, where it is installed; for some thousand users")
    bootstrap: int = Field(200, ge=0, description="resamples of users for the confidence interval; 0: none")
    seed: int = 42
    pictures: int = Field(
        10_000, ge=2, description="at most so many pictures are compared with one another, and 256 MB of pixels"
    )


class Redis(Section):
    """Where lists are published."""

    url: str = Field("", description="redis://, rediss:// or unix:// URL; empty: an embedded server")
    directory: str = Field("data/redis", description="where the embedded server keeps its data")
    namespace: str = Field("larder", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="prefix of every key")
    keep_releases: int = Field(3, ge=2, description="releases kept, the live one included")
    bucket_size: int = Field(48, ge=1, le=100, description="records a hash holds on average")
    scores: bool = Field(True, description="publish one byte of score an item")
    lists_per_second: int = Field(0, ge=0, description="a load writes no faster, all tasks together; 0: no limit")
    retired_keys_per_second: int = Field(20_000, ge=1, description="keys removed a second when a release is retired")
    lease_seconds: float = Field(15.0, gt=0, description="a loader that was killed holds the lock for so long")
    threads: int = Field(2, ge=1, description="files loaded at a time where Spark is not used")


class Spark(Section):
    """Used where Larder starts Spark itself; spark-submit's own flags win otherwise."""

    master: str = "local[2]"
    driver_memory: str = "4g"
    shuffle_partitions: int = Field(8, ge=1)
    packages: list[str] = Field(
        default_factory=list, description="Maven coordinates, group:artifact:version, as --packages of spark-submit"
    )
    gpus: int = Field(0, ge=0, description="GPUs of an executor, which each task of a job has for itself; 0: none")
    gpus_of_task: float = Field(1.0, gt=0, description="GPUs of a task; 0.25: four tasks share one")
    gpu_script: str = Field("", description="prints an executor's GPUs for Spark; empty: find_gpus.sh, nvidia-smi")
    options: dict[str, str] = Field(default_factory=dict, description="any spark.* option")


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

    storage: Storage = Storage()
    s3: S3 = S3()
    events: Events = Events()
    weights: Weights = Weights()
    roll_up: RollUp = RollUp()
    als: Als = Als()
    vision: Vision = Vision()
    lists: Lists = Lists()
    similar: Similar = Similar()
    evaluation: Evaluation = Evaluation()
    redis: Redis = Redis()
    lookup: Lookup = Lookup()
    spark: Spark = Spark()
