"""The section `[spark]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class SparkSettings(Section):
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
