"""The section `[spark]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class SparkSettings(Section):
    """Options of Spark where `larder` starts it. With spark-submit, its own flags win."""

    master: str = Field(
        "local[2]", description="URL of the Spark master. local[2]: this machine, with two tasks at a time."
    )
    driver_memory: str = Field("4g", description="Memory of the driver's JVM, such as 4g or 512m.")
    shuffle_partitions: int = Field(8, ge=1, description="Partitions after a shuffle.")
    packages: list[str] = Field(
        default_factory=list,
        description="Maven packages to load, as group:artifact:version, like spark-submit's --packages.",
    )
    gpus: int = Field(0, ge=0, description="GPUs of each executor. 0: none are asked for.")
    gpus_of_task: float = Field(
        1.0, gt=0, description="GPUs of each task; 0.25: four tasks share one. It has no effect where gpus is 0."
    )
    gpu_script: str = Field(
        "",
        description="Script that prints an executor's GPUs for Spark. Empty: Larder's find_gpus.sh, which asks "
        "nvidia-smi.",
    )
    options: dict[str, str] = Field(
        default_factory=dict,
        description="Any further spark.* options. What spark-submit is given by --conf wins over them.",
    )
