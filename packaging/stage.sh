#!/bin/bash
# stage.sh BINARIES ROOT UNITS: lays the product into ROOT as it is installed; UNITS is the distribution's folder for units.
set -euo pipefail
BINARIES=${1:?usage: stage.sh BINARIES ROOT UNITS} ROOT=${2:?} UNITS=${3:?}
cd "$(dirname "$0")/.."

put() { install -D -m "$1" -t "$ROOT$2" "${@:3}"; }
put_as() { install -D -m "$1" "$3" "$ROOT$2"; }
# Every file below a folder, into another one; nothing where the folder is not there.
put_tree() { if [ -d "$2" ]; then find "$2" -type f -exec install -D -m 644 -t "$ROOT$1" {} +; fi; }

while read -r name folder _; do put 755 "$folder" "$BINARIES/$name"; done <packaging/programs
put 644 "$UNITS" systemd/*.service systemd/*.socket
put 644 /usr/lib/systemd/system-preset systemd/90-gpuhostd.preset
put_as 644 /usr/lib/sysusers.d/gpuhostd.conf systemd/sysusers.conf
put_as 644 /usr/lib/tmpfiles.d/gpuhostd.conf systemd/tmpfiles.conf
put 644 /usr/lib/systemd/catalog systemd/gpuhostd.catalog
put 644 /etc/gpuhostd packaging/config/config.toml packaging/config/policy.toml
install -d -m 755 "$ROOT/etc/gpuhostd/config.d" "$ROOT/etc/gpuhostd/desired.d"
put_tree /usr/share/dbus-1/system.d packaging/dbus-1/system.d
put_tree /usr/share/dbus-1/interfaces packaging/dbus-1/interfaces
put_tree /usr/share/polkit-1/actions packaging/polkit-1/actions
# The operator's pages, with each that they lead to.
put 644 /usr/share/doc/gpuhostd packaging/copyright docs/OPERATING.md docs/DOCTOR.md docs/HEALTH.md docs/HEALTH-FACTS.md docs/METRICS.md docs/MIG.md
put 644 /usr/share/doc/gpuhostd packaging/config/desired.toml packaging/config/gpuhostd-mig-sys-admin.conf

# What shells complete and what man shows, as the command line itself writes it.
complete_in() {
    install -d -m 755 "$(dirname "$ROOT$2")"
    "$BINARIES/gpuhostctl" completions "$1" >"$ROOT$2"
    chmod 644 "$ROOT$2"
}
case $UNITS in
/lib/*) ZSH=/usr/share/zsh/vendor-completions ;;
*) ZSH=/usr/share/zsh/site-functions ;;
esac
for page in "" $("$BINARIES/gpuhostctl" man --list); do
    install -d -m 755 "$ROOT/usr/share/man/man1"
    "$BINARIES/gpuhostctl" man ${page:+"$page"} | gzip -9n >"$ROOT/usr/share/man/man1/gpuhostctl${page:+-$page}.1.gz"
done
install -d -m 755 "$ROOT/usr/share/man/man8"
gzip -9n <packaging/man/gpuhostd.8 >"$ROOT/usr/share/man/man8/gpuhostd.8.gz"
chmod 644 "$ROOT"/usr/share/man/man[18]/*
complete_in bash /usr/share/bash-completion/completions/gpuhostctl
complete_in zsh "$ZSH/_gpuhostctl"
complete_in fish /usr/share/fish/vendor_completions.d/gpuhostctl.fish
