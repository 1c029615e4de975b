# Requests as a proxy could have recorded them.
cat > requests.jsonl <<'END'
{"request": {"model": "m", "messages": [{"role": "user", "content": "Write to jane.doe@corp.example.com that order 4711 ships on Friday. Call me at +49 170 1234567."}]}, "response": {"choices": [{"message": {"role": "assistant", "content": "Dear Jane, your order 4711 ships on Friday. Best regards"}}]}}
{"request": {"model": "m", "messages": [{"role": "user", "content": "Why does this fail? export HF_TOKEN=hf_AbCdEfGhIjKlMnOpQrStUv; curl http://10.20.30.40/v1"}]}, "response": {"choices": [{"message": {"role": "assistant", "content": "The address is private, so that it cannot be reached from outside."}}]}}
{"request": {"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x.png"}}]}]}}
END
mkdir -p bundles
cp -r "$SOURCE/bundles/default" bundles/default
