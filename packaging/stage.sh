#!/bin/bash
# stage.sh KIND BINARIES ROOT: lays the product into ROOT as the package of that kind (deb or rpm) installs it: packaging/files.
set -euo pipefail
KIND=${1:?usage: stage.sh deb|rpm BINARIES ROOT} BINARIES=${2:?} ROOT=${3:?}
cd "$(dirname "$0")/.."
case $KIND in
deb) UNITS=/lib/systemd/system ZSH=/usr/share/zsh/vendor-completions ;;
rpm) UNITS=/usr/lib/systemd/system ZSH=/usr/share/zsh/site-functions ;;
*) echo "stage.sh: $KIND is neither deb nor rpm" >&2; exit 2 ;;
esac

# put_text MODE DESTINATION: standard input, packed if the name says so. Always the same bytes for the same text.
put_text() {
    install -d -m 755 "$(dirname "$ROOT$2")"
    case $2 in
    *.gz) gzip -9n >"$ROOT$2" ;;
    *) cat >"$ROOT$2" ;;
    esac
    chmod "$1" "$ROOT$2"
}

while read -r name folder _; do install -D -m 755 -t "$ROOT$folder" "$BINARIES/$name"; done <packaging/programs
while read -r kind mode destination sources; do
    case $kind in both | "$KIND") ;; *) continue ;; esac
    destination=${destination/@UNITS@/$UNITS} destination=${destination/@ZSH@/$ZSH}
    case $sources in
    -) install -d -m "$mode" "$ROOT$destination" ;;
    '= '*)
        # shellcheck disable=SC2086 # words on purpose
        "$BINARIES/gpuhostctl" ${sources#= } | put_text "$mode" "$destination"
        ;;
    *)
        # shellcheck disable=SC2086 # words and patterns on purpose
        for source in $sources; do
            [ -f "$source" ] || { echo "stage.sh: packaging/files lists $source, which is not there" >&2; exit 1; }
            case $destination in
            */) put_text "$mode" "$destination$(basename "$source")" <"$source" ;;
            *) put_text "$mode" "$destination" <"$source" ;;
            esac
        done
        ;;
    esac
done < <(grep -v '^#' packaging/files)

# A page for each command.
{ echo; "$BINARIES/gpuhostctl" man --list; } | while read -r command; do
    # shellcheck disable=SC2086 # words on purpose
    "$BINARIES/gpuhostctl" man -- $command | put_text 644 "/usr/share/man/man1/gpuhostctl${command:+-${command// /-}}.1.gz"
done
