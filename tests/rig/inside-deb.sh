#!/bin/bash
# inside-deb.sh: the life of the .deb, from installation to purge.
source /rig/inside.sh

# Everything that an installation could leave behind: files outside caches and logs, users, groups. A private /var/tmp is that of
# a service of the system which we have asked something (polkit has one since Debian 13).
inventory() {
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/cache \
        -o -path '/var/tmp/systemd-private-*-polkit.service-*' -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd/deb-systemd-helper-enabled \
        -o -name '*-' \) -prune -o -print | LC_ALL=C sort
    cut -d: -f1 /etc/passwd /etc/group
}
# A page that an installed page leads to is installed too.
pages_are_whole() {
    local page link
    for page in /usr/share/doc/gpuhostd/*.md /usr/share/doc/gpuhostd/guide/*.md; do
        for link in $(grep -o '](\([A-Za-z0-9_./-]*\)\.md' "$page" | sed 's/^](//'); do
            [ -f "$(dirname "$page")/$link" ] || { echo "$page leads to $link"; return 1; }
        done
    done
    [ -f /usr/share/doc/gpuhostd/OPERATING.md ]
}
# What is missing in this container, Docker, with its cause and remedy from the catalog of messages.
explained() {
    local text
    text=$(journalctl --unit gpuhostd.service --catalog --no-pager)
    grep -q 'Subject: Condition docker_unavailable holds' <<<"$text" && grep -q 'What to do: ' <<<"$text"
}
# A member of the group of the shipped example may look again, which asks anybody else for a password.
operators_may() {
    groupadd --system gpuhost && useradd --system --groups gpuhost rig-operator &&
        install -m 644 /usr/share/doc/gpuhostd/50-gpuhostd-operators.rules /etc/polkit-1/rules.d/ &&
        within 10 setpriv --reuid=rig-operator --init-groups gpuhostctl rescan --no-ask
}
inventory >/tmp/before
reloads=$(reloads_of_pid1)
check "apt installs it" apt install --yes "$DEB"
service_is_alive
check "PID 1 was not told to read its units again" is "$(reloads_of_pid1)" "$reloads"
check "systemctl status shows in one line how the host is" grep -qE '^ +Status: "[^"]*GPU' <(systemctl status --no-pager gpuhostd.service)
check "journalctl -x explains what does not work" explained
check "every page that an installed page leads to is installed" pages_are_whole
check "bash completes its commands" bash -c '. /usr/share/bash-completion/completions/gpuhostctl && complete -p gpuhostctl'
# This root leaves manual pages out; the package has them.
for page in man5/gpuhostd-policy.toml.5.gz man1/gpuhostctl-mig-apply.1.gz; do
    check "$page of the manual is in the package" grep -qF "/$page" <(dpkg-deb --contents "$DEB")
done
check "the configuration in force is printed" grep -q '^# /etc/gpuhostd/config.toml$' <(gpuhostctl cat-config)
check "it starts at boot" systemctl is-enabled gpuhostd.service
check "the configuration is root's and can be read" is "$(stat -c '%U:%G %a' /etc/gpuhostd/config.toml)" "root:root 644"
check "the policy is root's and can be read" is "$(stat -c '%U:%G %a' /etc/gpuhostd/policy.toml)" "root:root 644"
check "the policy is that of a host without the file" is "$(gpuhostctl policy show)" "$(gpuhostctl policy show --file /dev/null)"
check "the shipped configuration is valid" gpuhostctl config check /etc/gpuhostd/config.toml
check "and so is every example in it" example_is_valid
check "the state is the front's alone" is "$(stat -c '%U:%G %a' /var/lib/gpuhostd)" "gpuhostd:gpuhostd 700"
for role in host holders containers mig mig-mode; do
    check "the $role hand's socket is the front's alone" \
        is "$(stat -c '%U %a' "/run/gpuhostd/hands/$role.sock")" "gpuhostd 600"
    check "the $role hand's socket refuses nobody" not hello nobody "$role"
    check "the $role hand does not hear root" unheard root "$role"
done
for unit in gpuhostd gpuhostd-host gpuhostd-containers; do check "$unit has no power" powerless "$unit.service"; done
check "the front has its own user" runs_as gpuhostd.service gpuhostd
check "the host hand is root" runs_as gpuhostd-host.service root
check "the holders hand has its own user" runs_as gpuhostd-holders.service gpuhostd-holders
check "the holders hand has two powers and no other" only_looks
check "it looks into every process" sees_everybody
check "the MIG hand is root" runs_as gpuhostd-mig.service root
check "it can make device files and nothing else" has_only gpuhostd-mig.service 0000000008000000
check "the MIG mode hand is root" runs_as gpuhostd-mig-mode.service root
check "it has the administrator's power and no other" has_only gpuhostd-mig-mode.service 0000000000200000
check "the container hand has its own user" runs_as gpuhostd-containers.service gpuhostd-containers
check "any user can introspect it on the system bus" within 5 as_user nobody busctl introspect org.gpuhost.Agent1 /org/gpuhost/Agent1
check "its own interface is there" grep -q org.gpuhost.Agent1.Host <(as_user nobody busctl introspect org.gpuhost.Agent1 /org/gpuhost/Agent1)
check "any user can list GPUs" as_user nobody gpuhostctl gpus
check "an unprivileged user is refused every method" may_nothing nobody
check "and the user of the front itself no more than that" may_nothing gpuhostd
check "polkit decided, not its absence" active polkit.service
check "a group of operators is given rights by the example" operators_may
check "and no right that the example does not give" not as_user rig-operator gpuhostctl lock --no-ask
userdel rig-operator; groupdel gpuhost; rm /etc/polkit-1/rules.d/50-gpuhostd-operators.rules

source /rig/devices.sh

check "a manager runs" start_manager
check "nobody may not enrol it" not as_user nobody gpuhostctl enroll https://127.0.0.1:8443 --token-file /tmp/manager/token --ca-file /tmp/manager/ca.pem
check "root enrols it" enrol
check "the manager takes its heartbeat" within 10 heartbeats_more_than 0
check "its credential is the front's alone" is "$(find /var/lib/gpuhostd -type f \( ! -user gpuhostd -o -perm /077 \))" ""

before=$(main_pid gpuhostd.service)
check "it reloads" systemctl reload gpuhostd.service
check "as the same process" within 5 is "$(main_pid gpuhostd.service)" "$before"
# Counted before: the first beat of the new process comes within a moment, and the next one only in its slot.
beats=$(grep -c '^heartbeat accepted' /tmp/manager/log)
kill -9 "$before"
check "killed, it is back within 3 s" within 3 new_process "$before"
check "and checks in again without being enrolled again" within 20 heartbeats_more_than "$beats"
service_is_alive
for role in host holders containers mig mig-mode; do
    kill -9 "$(main_pid "gpuhostd-$role.service")"
    check "a killed $role hand is back" within 6 answered gpuhostd "$role"
done
check "it stops within 2 s" faster 2000 systemctl stop gpuhostd.service
check "and the container hand with it" within 5 inactive gpuhostd-containers.service
check "it starts again" systemctl start gpuhostd.service
service_is_alive

# A journald that hangs takes nobody with it who has something to say.
check "journald hangs, and its queue is full" fill_journal
beats=$(grep -c '^heartbeat accepted' /tmp/manager/log)
systemctl kill --signal=HUP gpuhostd.service
check "the service answers all the same" faster 3000 gpuhostctl gpus
check "and its heartbeats go on" within 45 heartbeats_more_than "$beats"
systemctl kill --signal=CONT systemd-journald.service

check "it leaves its manager" gpuhostctl leave
source /rig/credentials.sh
systemctl stop rig-manager.service

mkdir -p /run/systemd/system/gpuhostd.service.d
printf '[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n' >/run/systemd/system/gpuhostd.service.d/rig.conf
systemctl daemon-reload
systemctl restart gpuhostd.service
before=$(main_pid gpuhostd.service)
kill -STOP "$before"
check "a hung front is ended by the watchdog and replaced" within 15 new_process "$before"
rm -r /run/systemd/system/gpuhostd.service.d
systemctl daemon-reload

# Docker that comes after us: a package with a daemon and the group.
mkdir -p /tmp/docker/DEBIAN /tmp/docker/usr/sbin
printf 'Package: docker-stand-in\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' >/tmp/docker/DEBIAN/control
printf '#!/bin/sh\ngroupadd --system docker\n' >/tmp/docker/DEBIAN/postinst
printf '#!/bin/sh\nif [ "$1" = purge ]; then groupdel docker; fi\n' >/tmp/docker/DEBIAN/postrm
chmod 755 /tmp/docker/DEBIAN/post*
touch /tmp/docker/usr/sbin/dockerd
dpkg-deb --build /tmp/docker /tmp/docker.deb >/dev/null
before=$(main_pid gpuhostd-containers.service)
check "Docker is installed after us" apt install --yes /tmp/docker.deb
check "the container hand's user joins Docker's group" grep -qw docker <(id -nG gpuhostd-containers)
docker_group_in_force() {
    grep -q "^Groups:.*\b$(getent group docker | cut -d: -f3)\b" "/proc/$(main_pid gpuhostd-containers.service)/status"
}
check "and the running hand has it" within 5 docker_group_in_force

echo '# mine' >>/etc/gpuhostd/config.toml
before=$(main_pid gpuhostd.service)
host_hand=$(main_pid gpuhostd-host.service)
reloads=$(reloads_of_pid1)
check "it is installed again over itself" apt install --yes --reinstall "$DEB"
check "the service was restarted" within 5 new_process "$before"
check "and the host hand" not is "$(main_pid gpuhostd-host.service)" "$host_hand"
check "PID 1 was not told to read its units again" is "$(reloads_of_pid1)" "$reloads"
check "the administrator's configuration is kept" grep -q '^# mine' /etc/gpuhostd/config.toml
service_is_alive

check "apt removes it" apt remove --yes gpuhostd
check "nothing of it runs" within 5 nothing_runs
check "no unit of it is left running or failed" within 5 all_inactive
check "the configuration stays" test -f /etc/gpuhostd/config.toml
check "apt purges it" apt purge --yes gpuhostd docker-stand-in
inventory >/tmp/after
check "nothing is left" diff /tmp/before /tmp/after
finish deb
