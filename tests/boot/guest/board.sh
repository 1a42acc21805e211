#!/bin/sh -eu
# A GPIO header without hardware: lines with the names of a Raspberry Pi's, whose levels sysfs shows and sets.
modprobe gpio-sim
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
header=/sys/kernel/config/gpio-sim/header
mkdir -p "$header/bank"
echo 28 >"$header/bank/num_lines"
echo header >"$header/bank/label"
for line in $(seq 0 27); do
  mkdir "$header/bank/line$line"
  echo "GPIO$line" >"$header/bank/line$line/name"
done
echo 1 >"$header/live"
ln -sfn "/sys/devices/platform/$(cat "$header/dev_name")/$(cat "$header/bank/chip_name")" /run/header
