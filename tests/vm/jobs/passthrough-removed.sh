#!/bin/bash
# passthrough-removed.sh: a GPU is pulled out while a guest may have it, and at random moments of a change of it. The daemon lives, no other
# function is touched, and once the card is back it can be given away and taken back, with no record of it left.
# boot: -t 900
source ./world.sh

check "the GPUs are there" make_world
check "each function has its identity" within 10 world_is_whole
check "apt installs the product" install_product
H100=0000:01:00.0 A4000=0000:02:00.0 AUDIO=0000:02:00.1
TRIES=4 MOST_MS=2500
printf '[host.passthrough]\nchanges_per_minute = 60\n' >/etc/gpuhostd/policy.toml
systemctl reload gpuhostd.service
keep_world
ALL=("${FUNCTIONS[@]}") WHOLE=$BEFORE
# whole: every function, those that were pulled out too, is as at first.
whole() { FUNCTIONS=("${ALL[@]}") && diff <(echo "$WHOLE") <(world); }
# The others, without the nodes of VFIO, which come and go with the card.
others() { world | grep -v -e "/$H100/" -e "/$A4000/" -e "/$AUDIO/" -e '^/dev/vfio'; }
OTHERS=$(others 2>/dev/null)
others_unchanged() { diff <(echo "$OTHERS") <(others 2>/dev/null); }
no_record() { is "$(find /var/lib/gpuhostd/journal -type f)" ""; }
DAEMON=$(main_pid gpuhostd.service)
lives() { active gpuhostd.service && is "$(main_pid gpuhostd.service)" "$DAEMON"; }
pull() { timeout 60 sh -c "echo 1 >$PCI/devices/$1/remove"; }
idle() { is "$(gpuhostctl jobs --json | jq '[.[] | select(.State != "finished")] | length')" 0; }
shown_again() { gpuhostctl gpus --json | jq -e --arg a "$1" 'any(.[]; .Address == $a)'; }
not_shown() { not shown_again "$1"; }

check "the H100 is given away" pass bind $H100
check "it is pulled out" pull $H100
check "it is gone" within 10 not_shown $H100
check "a GPU that is gone is not taken back" not pass release $H100
check "no other function is touched" others_unchanged
echo 1 >$PCI/rescan
check "it is put back" within 20 shown_again $H100
check "it can be given away again" within 20 pass bind $H100
check "a guest can open it" ./modules/vfio_client "$(group_of $H100)" $H100
check "and it is taken back" pass release $H100
check "everything is as before" within 10 whole
check "no record of it is left" no_record
check "the daemon lives" lives

# A change is some seconds of looks, then the steps. Its entry in the journal is written just before the first.
begun() { compgen -G '/var/lib/gpuhostd/journal/*.json' >/dev/null; }
wait_for_entry() {
    local end=$((SECONDS + 30))
    until begun; do [ $SECONDS -lt $end ] || return 1; done
}
RANDOM=${SEED:-4711}
for ((try = 1; try <= TRIES; try++)); do
    pass bind $A4000 >/tmp/said 2>&1 &
    asked=$!
    after=$((RANDOM % MOST_MS))
    check "$try: the change is begun" wait_for_entry
    sleep "$((after / 1000)).$(printf %03d $((after % 1000)))"
    # The whole card, or its first function only, which leaves the other one behind.
    check "$try: the card is pulled out after $after ms" pull $A4000
    if [ $((try % 2)) = 0 ]; then check "$try: its audio function too" pull $AUDIO; fi
    wait $asked
    note "the change ended with $?: $(head -c 400 /tmp/said)"
    check "$try: no change goes on" within 60 idle
    check "$try: no other function is touched" others_unchanged
    echo 1 >$PCI/rescan
    check "$try: it is put back" within 20 shown_again $A4000
    check "$try: the host can have it back" within 30 pass release $A4000
    check "$try: everything is as before" within 10 whole
    check "$try: no record of it is left" no_record
done
check "the daemon lives" lives
check "it can be given away" pass bind $A4000
check "a guest can open it" ./modules/vfio_client "$(group_of $A4000)" $A4000
check "and it is taken back" pass release $A4000
check "at last as at first" whole
check "no record of it is left" no_record
finish passthrough-removed
