# Two programs, and a clone with a change, whose build takes no time.
mkdir -p bundles old new
cp -r "$SOURCE/bundles/tiny-gqa8-hd64" bundles/default
ln -s "$PROGRAM" old/secondsource
ln -s "$PROGRAM" new/secondsource
printf '#!/bin/sh\nmkdir -p build/release && ln -sfn "%s" build/release/bin\n' "$(dirname "$PROGRAM")" > dev
chmod +x dev
git init -q && git add dev && git commit -qm Begin && git switch -qc change && git commit -q --allow-empty -m Change
