mkdir bundles
cp -r "$SOURCE/bundles/default" bundles
