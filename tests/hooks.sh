#!/bin/bash
# hooks.sh: has git check what is committed (format and the rules of the house) and what is pushed (make check). Hooks that are
# there and not from here are left as they are.
set -eu
cd "$(dirname "$0")/.."
MARK='# made by make hooks'

# hook NAME COMMAND
hook() {
    local file
    file=$(git rev-parse --git-path "hooks/$1")
    if [ -e "$file" ] && ! grep -qxF "$MARK" "$file"; then
        echo "make hooks: $file exists and is not from here: add '$2' to it yourself" >&2
        return 1
    fi
    mkdir -p "$(dirname "$file")"
    printf '%s\n' '#!/bin/sh' "$MARK" 'cd "$(git rev-parse --show-toplevel)" || exit' 'unset GIT_DIR GIT_INDEX_FILE' "exec $2" >"$file"
    chmod 755 "$file"
    echo "$file: $2"
}

status=0
hook pre-commit 'tests/check.sh house' || status=1
hook pre-push 'tests/check.sh' || status=1
exit $status
