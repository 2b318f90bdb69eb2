#!/bin/bash
# inside-upgrades.sh: the .deb upgraded ten times in a row and taken back to the first. After each the daemon runs, checks in as the same host,
# and has lost nothing; what a file of a later version has is refused with its name, and kept.
source /rig/inside.sh
TREE=/var/tmp/tree STATE=/var/lib/gpuhostd

# The package under another version, with a unit that PID 1 has to read again.
repack() {
    sed -i "s/^Version: .*/Version: $1/" $TREE/DEBIAN/control &&
        sed -i "1s/.*/# Version $1/" $TREE/lib/systemd/system/gpuhostd.service &&
        rm -f /var/tmp/gpuhostd.deb && dpkg-deb -Znone --root-owner-group --build $TREE /var/tmp/gpuhostd.deb
}
version_is() { is "$(dpkg-query --show --showformat='${Version}' gpuhostd)" "$1"; }
# What must not change by itself: who this host is, records of changes, what a person has written.
kept() { sha256sum $STATE/identity/identity.json $STATE/identity/*.pem $STATE/journal/* /etc/gpuhostd/*.toml /etc/gpuhostd/*/*.toml 2>/dev/null; }
nothing_lost() { diff <(echo "$BEFORE") <(kept); }
in_log() { grep -qF -- "$1" <(journalctl --unit gpuhostd.service --invocation="$(property gpuhostd.service InvocationID)" --no-pager --output=cat 2>/dev/null ||
    journalctl _SYSTEMD_INVOCATION_ID="$(property gpuhostd.service InvocationID)" --no-pager --output=cat); }
linked() { is "$(readlink /dev/char/195:0)" ../nvidia0; }

# Without a token in a file that can be read: systemd-creds, and the service finds it among its credentials. PID 1 gives them by a mount,
# and mounts are shared on a host, and not yet in a container.
enrol_by_credential() {
    mount --make-rshared / && mkdir -p /etc/credstore.encrypted /etc/systemd/system/gpuhostd.service.d &&
        systemd-creds encrypt --with-key=host --name=gpuhostd.enrolment-token /tmp/manager/token \
            /etc/credstore.encrypted/gpuhostd.enrolment-token &&
        printf '[Service]\nLoadCredentialEncrypted=gpuhostd.enrolment-token\n' >/etc/systemd/system/gpuhostd.service.d/token.conf &&
        install -m 644 /tmp/manager/ca.pem /etc/gpuhostd/manager-ca.pem &&
        printf '[manager]\nurls = ["https://127.0.0.1:8443"]\nca_file = "/etc/gpuhostd/manager-ca.pem"\n' >/etc/gpuhostd/config.d/manager.toml &&
        systemctl daemon-reload && systemctl restart gpuhostd.service
}

check "apt installs the first version" apt install --yes "$DEB"
FIRST=$(dpkg-query --show --showformat='${Version}' gpuhostd)
check "the service is active" within 10 active gpuhostd.service
check "a manager runs" start_manager
check "it is enrolled by a token that was encrypted for this host" enrol_by_credential
check "the manager takes its heartbeat" within 20 heartbeats_more_than 0
# What a person has changed, and what is wished without a manager.
echo '# mine' >>/etc/gpuhostd/config.toml
printf '[manager]\nlabels = false\n' >/etc/gpuhostd/policy.toml
printf '[metrics]\nsocket = "/run/gpuhostd/metrics.sock"\n' >/etc/gpuhostd/config.d/metrics.toml
printf '[agent]\nlabels = { site = "ams" }\n' >/etc/gpuhostd/desired.d/site.toml
# A record of a change that a later version has written: its GPU is held until a person decides.
RECORD=$STATE/journal/gpu-0000_41_00_0.json
install -d -m 700 -o gpuhostd -g gpuhostd $STATE/journal
install -m 600 -o gpuhostd -g gpuhostd /dev/stdin $RECORD <<<'{"schema": 99, "entry": {"boot_id": "unknown"}}'
systemctl restart gpuhostd.service
check "the record that it cannot read is named" within 10 in_log "$(basename $RECORD)"
labelled() { gpuhostctl desired show 2>/dev/null | grep -q ams; }
check "what is wished locally is in effect" within 10 labelled
mkdir -p /dev/char
mknod /dev/nvidia0 c 195 0
BEFORE=$(kept)

check "the package is taken apart" dpkg-deb --raw-extract "$DEB" $TREE
for number in {1..10}; do
    next=$FIRST+$number
    pid=$(main_pid gpuhostd.service)
    beats=$(grep -c '^heartbeat accepted' /tmp/manager/log)
    reloads=$(reloads_of_pid1)
    rm -f /dev/char/195:0
    check "version $next is made" repack "$next"
    check "apt upgrades to it" apt install --yes /var/tmp/gpuhostd.deb
    check "it is installed" version_is "$next"
    check "another process runs" within 10 new_process "$pid"
    check "PID 1 has read the unit again, once" is "$(reloads_of_pid1)" $((reloads + 1))
    check "after NVIDIA's device has got its link" linked
    check "it has lost nothing" nothing_lost
    check "it checks in without being enrolled again" within 20 heartbeats_more_than "$beats"
    check "and has what is wished locally" within 10 labelled
    check "and names the record that it cannot read" within 10 in_log "$(basename $RECORD)"
done
pid=$(main_pid gpuhostd.service)
beats=$(grep -c '^heartbeat accepted' /tmp/manager/log)
check "apt goes back to the first version" apt install --yes --allow-downgrades "$DEB"
check "it is installed" version_is "$FIRST"
check "another process runs" within 10 new_process "$pid"
check "it has lost nothing" nothing_lost
check "it checks in without being enrolled again" within 20 heartbeats_more_than "$beats"
check "any user can list GPUs" as_user nobody gpuhostctl gpus

# Each file of the state (but for records of changes: above), as a later version could have written it.
mapfile -t FILES < <(cd $STATE && grep -rlE '"?schema"?[ =:]+1\b' . | sed 's#^\./##' | grep -v '^journal/' | LC_ALL=C sort)
echo "        files with a schema: ${FILES[*]}"
check "there are files with a schema" test "${#FILES[@]}" -ge 2
for file in "${FILES[@]}"; do
    systemctl stop gpuhostd.service
    cp --preserve=all "$STATE/$file" /var/tmp/kept
    sed -i -E 's/("?schema"?[ =:]+)1\b/\199/' "$STATE/$file"
    # The settings that were last in force are read only where those of today cannot be.
    if [ "$file" = settings.toml ]; then echo '= invalid' >/etc/gpuhostd/config.d/zz.toml; fi
    systemctl start gpuhostd.service
    check "with $file of a later version the daemon runs" within 10 active gpuhostd.service
    check "and names the file" within 10 in_log "$(basename "$file")"
    systemctl stop gpuhostd.service
    rm -f /etc/gpuhostd/config.d/zz.toml
    cp --preserve=all /var/tmp/kept "$STATE/$file"
done
systemctl start gpuhostd.service
check "with its own files it checks in" within 30 heartbeats_more_than "$(grep -c '^heartbeat accepted' /tmp/manager/log)"
check "apt purges it" apt purge --yes gpuhostd
check "nothing is left of its state" not test -e $STATE
rm -rf /dev/nvidia0 /dev/char/195:0 /etc/systemd/system/gpuhostd.service.d /etc/credstore.encrypted
finish upgrades
