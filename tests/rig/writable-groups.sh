#!/bin/bash
# writable-groups.sh: prints for each folder right below /sys/fs/cgroup whether it can be written. It is run inside a unit.
for group in /sys/fs/cgroup/*/; do
    if [ -w "$group" ]; then echo "${group%/} writable"; else echo "${group%/} read-only"; fi
done
