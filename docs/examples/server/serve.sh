#!/bin/sh
# Starts the server with the flags and the environment that the team uses. The gate tests exactly these.
exec vllm serve "$1" --port "$2" --dtype bfloat16 --no-enable-prefix-caching
