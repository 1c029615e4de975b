mkdir my-model reports
cp "$SOURCE"/bundles/default/{config.json,model.safetensors,tokenizer.json} my-model
cp "$SOURCE/reports/prices.yaml" reports
