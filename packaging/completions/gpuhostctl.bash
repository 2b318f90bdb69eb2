# bash completion of gpuhostctl: the candidates come from `gpuhostctl __complete`.
_gpuhostctl() {
    local rest=${COMP_LINE:0:COMP_POINT} whole=() word index line lines kept character breaks=
    # bash breaks words at ":" and "=", as in 0000:41:00.0: what no space separates is put together again.
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if ((index == 0)) || [[ $rest == [[:blank:]]* ]]; then
            rest=${rest#"${rest%%[![:blank:]]*}"}
            whole+=("")
        fi
        if ((index == COMP_CWORD)); then word=$rest; fi
        whole[${#whole[@]} - 1]+=$word
        rest=${rest#"$word"}
    done
    word=${whole[${#whole[@]} - 1]}
    COMPREPLY=()
    mapfile -t lines < <(gpuhostctl __complete -- "${whole[@]:1}" 2>/dev/null)
    case ${lines[0]-} in
    files)
        compopt -o default
        return
        ;;
    parts) compopt -o nospace ;;
    esac
    # What bash replaces is what follows the last break.
    for character in : =; do
        if [[ $COMP_WORDBREAKS == *"$character"* ]]; then breaks+=$character; fi
    done
    kept=
    if [[ -n $breaks && $word == *[$breaks]* ]]; then kept=${word%"${word##*[$breaks]}"}; fi
    for line in "${lines[@]:1}"; do
        line=${line%%$'\t'*}
        COMPREPLY+=("${line#"$kept"}")
    done
}
complete -F _gpuhostctl gpuhostctl
