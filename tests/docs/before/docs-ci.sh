git init -q your-repository
secondsource run "$SOURCE/bundles/tiny-gqa8-hd64" --scenario single-stream@/4 --out runs/nightly
