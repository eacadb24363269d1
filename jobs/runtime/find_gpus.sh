#!/bin/sh
# This machine's GPUs, as Spark's resource discovery wants them: {"name": "gpu", "addresses": ["0", "1"]}
found=$(nvidia-smi --query-gpu=index --format=csv,noheader) || exit 1
addresses=$(printf '%s\n' "$found" | sed -n 's/^ *\([0-9][0-9]*\) *$/"\1"/p' | paste -s -d , -)
printf '{"name": "gpu", "addresses": [%s]}\n' "$addresses"
