#!/bin/sh
# Starts the server: the flags and the environment that the team uses, which are what is gated.
exec vllm serve "$1" --port "$2" --dtype bfloat16 --no-enable-prefix-caching
