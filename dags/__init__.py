"""Schedule and order of the jobs. Nothing here imports Spark, and nothing reads a file while a DAG is parsed."""
