mkdir -p runs reports
cp -r "$SOURCE/reports/samples/runs/cpu" runs/h100
cp -r "$SOURCE/reports/samples/runs/cpu" runs/mi300x
cp "$SOURCE/reports/prices.yaml" our-prices.yaml
cp "$SOURCE/reports/templates/demand.yaml" .
cp "$SOURCE/reports/quoted.yaml" reports
