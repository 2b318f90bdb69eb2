#!/bin/bash
# passthrough-killed.sh: the daemon or one of its hands is killed at random moments of a change, sixty times. Afterwards the kernel shows
# the host as it was before the change or as it is after it, and nothing in between.
# boot: -t 1800
source ./world.sh

check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
check "apt installs the product" install_product
A4000=0000:02:00.0 AUDIO=0000:02:00.1
TRIES=60
# As many changes as it takes: the usual limit is for people.
printf '[host.passthrough]\nchanges_per_minute = 60\n' >/etc/gpuhostd/policy.toml
systemctl reload gpuhostd.service
state() { shown $A4000 $AUDIO | paste -sd' '; }
HOST=$(state)
check "a GPU is given away" gpuhostctl passthrough bind $A4000
GUEST=$(state)
check "that is another state" not is "$HOST" "$GUEST"
check "and is taken back" gpuhostctl passthrough release $A4000
check "as it was" is "$(state)" "$HOST"

from=$(now_ms)
gpuhostctl passthrough bind $A4000
LONG=$(($(now_ms) - from))
gpuhostctl passthrough release $A4000
note "one change takes $LONG ms; kills fall into $((LONG * 5 / 4)) ms"

settled() {
    active gpuhostd.service && [ "$(gpuhostctl jobs --json | jq '[.[] | select(.State != "finished")] | length')" = 0 ] &&
        { [ "$(state)" = "$HOST" ] || [ "$(state)" = "$GUEST" ]; }
}
victims=(gpuhostd gpuhostd-host gpuhostd-holders)
declare -A ended=([before]=0 [after]=0)
RANDOM=${SEED:-4711}
between=0 slowest=0
for ((try = 0; try < TRIES; try++)); do
    if [ "$(state)" = "$HOST" ]; then verb=bind; else verb=release; fi
    was=$(state)
    unit=${victims[try % ${#victims[@]}]}.service
    after=$((RANDOM % (LONG * 5 / 4)))
    gpuhostctl passthrough $verb $A4000 >/tmp/said 2>&1 &
    asked=$!
    sleep "$((after / 1000)).$(printf %03d $((after % 1000)))"
    victim=$(main_pid "$unit")
    # A hand that has left has no process; nothing is killed then.
    if [ "${victim:-0}" -gt 1 ]; then kill -9 "$victim"; fi
    killed=$(now_ms)
    wait $asked
    if ! within 60 settled; then
        between=$((between + 1))
        note "try $try: $verb, $unit killed after $after ms: $(state)"
    fi
    took=$(($(now_ms) - killed))
    if [ $took -gt $slowest ]; then slowest=$took; fi
    if [ "$(state)" = "$was" ]; then ended[before]=$((ended[before] + 1)); else ended[after]=$((ended[after] + 1)); fi
done
note "$TRIES kills: ${ended[before]} times as before, ${ended[after]} times as after; settled after $slowest ms at most, in an emulator"
check "never in between" is "$between" 0
check "both ends were seen" test "${ended[before]}" -gt 0 -a "${ended[after]}" -gt 0
if [ "$(state)" = "$GUEST" ]; then check "it is taken back" gpuhostctl passthrough release $A4000; fi
check "at last as at first" is "$(state)" "$HOST"
check "no open entry is left" is "$(find /var/lib/gpuhostd/journal -type f 2>/dev/null | wc -l)" 0
finish passthrough-killed
