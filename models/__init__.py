"""Pure transformations: DataFrame to DataFrame, array to array. Nothing here reads or writes."""
