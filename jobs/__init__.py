"""One file a spark-submit job, each with parse_arguments, run(spark, arguments) and main."""
