#!/bin/bash
# inside-rpm.sh: the life of the .rpm: installation, upgrade, removal. Debian's rpm has no database of what is installed here, so
# that dependencies are not asked for.
source /rig/inside.sh
reloads=$(reloads_of_pid1)
check "rpm installs it" rpm --upgrade --verbose --nodeps "$RPM"
service_is_alive
check "PID 1 was not told to read its units again" is "$(reloads_of_pid1)" "$reloads"
check "it starts at boot" systemctl is-enabled gpuhostd.service
check "the configuration is root's and can be read" is "$(stat -c '%U:%G %a' /etc/gpuhostd/config.toml)" "root:root 644"
check "the policy is root's and can be read" is "$(stat -c '%U:%G %a' /etc/gpuhostd/policy.toml)" "root:root 644"
for unit in gpuhostd gpuhostd-host gpuhostd-containers; do check "$unit has no power" powerless "$unit.service"; done
check "the holders hand has two powers and no other" only_looks
check "it looks into every process" sees_everybody
check "any user can introspect it on the system bus" within 5 as_user nobody busctl introspect org.gpuhost.Agent1 /org/gpuhost/Agent1
check "any user can list GPUs" as_user nobody gpuhostctl gpus
echo '# mine' >>/etc/gpuhostd/config.toml
before=$(main_pid gpuhostd.service)
check "it is installed again over itself" rpm --upgrade --replacepkgs --nodeps "$RPM"
check "the administrator's configuration is kept" grep -q '^# mine' /etc/gpuhostd/config.toml
service_is_alive
check "it stops within 2 s" faster 2000 systemctl stop gpuhostd.service
check "it starts again" systemctl start gpuhostd.service
check "rpm removes it" rpm --erase gpuhostd
check "nothing of it runs" within 5 nothing_runs
check "no unit of it is left running or failed" within 5 all_inactive
check "the changed configuration is kept as .rpmsave" test -f /etc/gpuhostd/config.toml.rpmsave
check "it does not start at boot any more" not test -e /etc/systemd/system/multi-user.target.wants/gpuhostd.service
finish rpm
