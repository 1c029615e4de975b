# A sample run, and a history with one run of the branch main.
mkdir -p reports/samples/runs
cp -r "$SOURCE/reports/samples/runs/cpu" reports/samples/runs
secondsource run "$SOURCE/bundles/tiny-gqa8-hd64" --scenario single-stream@/4 --out nightly
secondsource history add nightly --branch main --commit "$GITHUB_SHA"
