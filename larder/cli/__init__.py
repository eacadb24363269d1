"""The command line: one verb a stage, in the order of the flow."""
