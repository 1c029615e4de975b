# A bundle with expected outputs, and a bundle of the same weights without them.
mkdir bundles
cp -r "$SOURCE/bundles/tiny-gqa8-hd64" bundles/default
mkdir model
cp bundles/default/{config.json,model.safetensors,tokenizer.json} model
secondsource bundle create --from-hf model --out my-bundle
