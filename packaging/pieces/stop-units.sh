# The sockets first, or they would start their hands again.
stop_units() {
    if [ ! -d /run/systemd/system ]; then return; fi
    systemctl stop gpuhostd-host.socket gpuhostd-holders.socket gpuhostd-containers.socket \
        gpuhostd-mig.socket gpuhostd-mig-mode.socket gpuhostd.service gpuhostd-host.service gpuhostd-holders.service \
        gpuhostd-containers.service gpuhostd-mig.service gpuhostd-mig-mode.service gpuhostd-mig-monitor.service || true
}
