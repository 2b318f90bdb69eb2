#compdef gpuhostctl
# zsh completion of gpuhostctl: the candidates come from `gpuhostctl __complete`.
local -a lines values shown space
local line
lines=("${(@f)$(gpuhostctl __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
case ${lines[1]-} in
files)
    compset -P '*='
    _files
    return
    ;;
parts) space=(-S '') ;;
esac
for line in "${(@)lines[2,-1]}"; do
    values+=("${line%%$'\t'*}")
    shown+=("${line/$'\t'/  -- }")
done
(( ${#values} )) && compadd -l "${(@)space}" -d shown -a values
