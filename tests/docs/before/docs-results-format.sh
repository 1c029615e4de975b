secondsource run "$SOURCE/bundles/tiny-gqa8-hd64" --scenario single-stream@/4 --out run
cp run/samples.jsonl .
