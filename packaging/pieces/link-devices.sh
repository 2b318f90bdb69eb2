# A reload drops NVIDIA's devices from running containers where nothing in /dev/char leads to them.
link_devices() {
    [ -d /dev/char ] || return 0
    for node in /dev/nvidia* /dev/nvidia-caps/*; do
        [ -c "$node" ] || continue
        # It may have gone since.
        numbers=$(stat -c '%t %T' "$node" 2>/dev/null) || continue
        link=/dev/char/$(printf '%d:%d' "0x${numbers% *}" "0x${numbers#* }")
        [ -e "$link" ] || ln -sfn "..${node#/dev}" "$link" || true
    done
}
