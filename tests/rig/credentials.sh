# credentials.sh: sourced by inside-deb.sh while the manager runs and the host has left it. The enrolment token comes as a credential of
# systemd, encrypted for this host by systemd-creds without a TPM: named by LoadCredentialEncrypted=, and found by ImportCredential=,
# which systemd has since 254. systemd's copy is that of the start.
# shellcheck shell=bash
CREDENTIAL=gpuhostd.enrolment-token
CONFIG=/etc/gpuhostd/config.d/rig-credentials.toml
DROP_IN=/run/systemd/system/gpuhostd.service.d/credentials.conf

# The manager starts again with what it knows, and has made another token.
another_token() {
    systemctl stop rig-manager.service && rm -f /tmp/manager/log && start_manager
}
# given SETTING: the token is encrypted and the service is started with that setting; neither its configuration nor anybody else has it.
given() {
    mkdir -p "${DROP_IN%/*}" /etc/credstore.encrypted && chmod 700 /etc/credstore.encrypted &&
        systemd-creds encrypt --with-key=host --name=$CREDENTIAL /tmp/manager/token /etc/credstore.encrypted/$CREDENTIAL &&
        printf '[manager]\nurls = ["https://127.0.0.1:8443"]\nca_file = "/etc/gpuhostd/rig-ca.pem"\n' >"$CONFIG" &&
        install -m 644 /tmp/manager/ca.pem /etc/gpuhostd/rig-ca.pem &&
        printf '[Service]\n%s\n' "$1" >"$DROP_IN" && systemctl daemon-reload && systemctl restart gpuhostd.service
}
taken_back() {
    rm -f "$DROP_IN" /etc/credstore.encrypted/$CREDENTIAL "$CONFIG" /etc/gpuhostd/rig-ca.pem &&
        systemctl daemon-reload && systemctl restart gpuhostd.service && within 10 gpuhostctl leave
}
manager_state() { is "$(gpuhostctl --json status | grep -o '"ManagerState": *"[a-z_]*"' | grep -o '[a-z_]*"$')" "$1\""; }
# The encrypted file does not have the token, and of all processes and files of the service only its identity and systemd's copy do.
is_nowhere_else() {
    local token pid
    token=$(cat /tmp/manager/token)
    ! grep -rqF "$token" /etc/credstore.encrypted /etc/gpuhostd || { echo "it is in a file that is no secret"; return 1; }
    for pid in $(pgrep '^gpuhost'); do
        ! tr '\0' '\n' <"/proc/$pid/environ" | grep -qF "$token" || { echo "it is in the environment of $pid"; return 1; }
    done
    ! journalctl --no-pager --output=export | grep -qaF "$token" || { echo "it is in the journal"; return 1; }
}
enrolments() { journalctl --unit=gpuhostd.service --no-pager --output=cat | grep -c '^enrolled as' || true; }

# PID 1 gives credentials by a mount, which reaches a service only where mounts are shared, as on every host and not in a container.
check "mounts are shared" mount --make-rshared /
for setting in "LoadCredentialEncrypted=$CREDENTIAL" "ImportCredential=gpuhostd.*"; do
    name=${setting%%=*}
    if [ "$name" = ImportCredential ] && [ "$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" -lt 254 ]; then
        echo "        SKIPPED: $name= is not known to this systemd: $(systemctl --version | head -1)"
        continue
    fi
    check "the manager has another token" another_token
    count=$(enrolments)
    check "the service starts with $name=" given "$setting"
    check "$name=: the host enrols with the credential" within 30 heartbeats_more_than 0
    check "$name=: and shows it" within 10 manager_state ok
    check "$name=: the token is nowhere else" is_nowhere_else
    beats=$(grep -c '^heartbeat accepted' /tmp/manager/log)
    check "$name=: it is started again" systemctl restart gpuhostd.service
    check "$name=: and has the identity that it had" within 30 heartbeats_more_than "$beats"
    check "$name=: it was enrolled once" is "$(enrolments)" $((count + 1))
    check "$name=: without it the host leaves" taken_back
done
# The key of this host is systemd's, and was not here before.
rm -rf /var/lib/systemd/credential.secret /etc/credstore.encrypted
