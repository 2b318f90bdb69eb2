#!/bin/bash
# script.sh FILE: prints a script of a package, or a spec, whole: a line `@include PIECE@` becomes that file of packaging/pieces, so
# that what several scripts do is written once. A spec has each percent sign of a piece twice, for rpm reads macros in scripts too.
set -euo pipefail
FILE=${1:?usage: script.sh FILE}
PIECES=$(dirname "$0")/pieces
while IFS= read -r line; do
    case $line in
    '@include '*@)
        piece=$PIECES/${line#@include } piece=${piece%@}
        [ -f "$piece" ] || { echo "script.sh: $FILE includes $piece, which is not there" >&2; exit 1; }
        case $FILE in *.spec) sed 's/%/%%/g' "$piece" ;; *) cat "$piece" ;; esac
        ;;
    *) printf '%s\n' "$line" ;;
    esac
done <"$FILE"
