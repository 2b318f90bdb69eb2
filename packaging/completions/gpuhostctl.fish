# fish completion of gpuhostctl: the candidates come from `gpuhostctl __complete`.
function __gpuhostctl_complete
    set -l before (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l lines (gpuhostctl __complete -- $before[2..] "$current" 2>/dev/null)
    switch "$lines[1]"
        case files
            set -l option (string match --regex -- '^--[a-z-]+=' "$current")
            for path in (__fish_complete_path (string replace --regex -- '^--[a-z-]+=' '' "$current"))
                echo "$option$path"
            end
        case '*'
            printf '%s\n' $lines[2..]
    end
end
complete --command gpuhostctl --no-files --keep-order --arguments '(__gpuhostctl_complete)'
