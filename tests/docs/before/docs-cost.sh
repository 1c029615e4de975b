# A price book without outdated rows, and a catalog in SkyPilot's format.
mkdir reports
cp "$SOURCE/reports/prices.yaml" reports
cat > vms.csv <<'CSV'
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region,AvailabilityZone,GpuInfo
p5.48xlarge,H100,8,192,2048,98.32,,us-east-1,us-east-1a,
CSV
secondsource prices import vms.csv --provider aws --date "$(date +%F)" --source a --out our-prices.yaml
