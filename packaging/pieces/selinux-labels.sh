# Gives our files the labels that the policy has for them now, and starts the services again, each in its domain. Workspaces and GPUs do not
# notice a restart.
relabel() {
    if ! command -v selinuxenabled >/dev/null || ! selinuxenabled; then return; fi
    for path in /usr/bin/gpuhostd /usr/libexec/gpuhostd /etc/gpuhostd /var/lib/gpuhostd /run/gpuhostd /run/cdi /dev/nvidia-caps; do
        if [ -e "$path" ]; then restorecon -R "$path" || true; fi
    done
    if [ -d /run/systemd/system ]; then
        systemctl try-restart gpuhostd-host.service gpuhostd-mig.service gpuhostd-mig-mode.service gpuhostd.service || true
    fi
}
