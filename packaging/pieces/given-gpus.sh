# The records of a GPU, which they name by its IOMMU group. Another boot has forgotten what was bound; a record that shows no boot cannot
# be read, and counts.
records() {
    boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) || boot=
    group=$(basename "$(readlink "$1/iommu_group" 2>/dev/null)")
    gpu=$(basename "$1" | tr ':.' '__')
    for record in /var/lib/gpuhostd/journal/*.json; do
        case $(basename "$record") in
        gpu-"$gpu".json | group-"$group".json | *.gpu-"$gpu".* | *.group-"$group".* | *.all.json) ;;
        *) continue ;;
        esac
        text=
        if [ -f "$record" ]; then text=$(tr -d ' \n' <"$record" 2>/dev/null) || text=; fi
        case $text in
        *'"boot_id":"unknown"'* | *'"boot_id":"'"$boot"*) echo "$record" ;;
        *'"boot_id":"'*) ;;
        *) echo "$record" ;;
        esac
    done
}

# GPUs that are bound to vfio-pci or a driver of its kind (class 03xx or 1200), and that a record of this boot names: those of others are
# not ours to name.
given() {
    for device in /sys/bus/pci/devices/*; do
        case $(cat "$device/class" 2>/dev/null) in 0x0300* | 0x0302* | 0x0380* | 0x1200*) ;; *) continue ;; esac
        case $(basename "$(readlink "$device/driver" 2>/dev/null)") in *vfio*) ;; *) continue ;; esac
        if [ -n "$(records "$device")" ]; then basename "$device"; fi
    done
}

# For a removal, which leaves them where they are.
report_given() {
    gpus=$(given | tr '\n' ' ')
    if [ -n "$gpus" ]; then
        echo "gpuhostd: still given to virtual machines, and left so: $gpus"
        echo "gpuhostd: to take them back, reboot, or install gpuhostd again and run for each: gpuhostctl passthrough release ADDRESS"
    fi
}
