# Prepares what README.md assumes: a clone with a change, whose build takes no time; a small bundle in place of the default one; a run from
# another machine; the reader's own prices and demand; a Hugging Face folder with prompts.
mkdir -p bundles reports runs suites stories260K-hf
cp -r "$SOURCE/bundles/tiny-gqa8-hd64" bundles/default
cp "$SOURCE/reports/quoted.yaml" reports
cp "$SOURCE/reports/prices.yaml" our-prices.yaml
cp "$SOURCE/reports/templates/demand.yaml" .
printf '#!/bin/sh\nmkdir -p build/release && ln -sfn "%s" build/release/bin\n' "$(dirname "$PROGRAM")" > dev
chmod +x dev
git init -q && git add dev && git commit -qm Begin && git switch -qc change && git commit -q --allow-empty -m Change
secondsource run bundles/default --scenario single-stream,offline:16 --price 2.00 --out runs/there
cp "$SOURCE"/bundles/tiny-gqa8-hd64/{config.json,model.safetensors,tokenizer.json} stories260K-hf
cp "$SOURCE"/bundles/tiny-gqa8-hd64/prompts/*.yaml suites
