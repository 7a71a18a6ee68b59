# complete.zsh SCRIPT LINE: prints what zsh offers where the line ends, one completion a line. The shell runs on a
# pseudo-terminal of its own; its compadd is asked to keep what it adds.
zmodload zsh/zpty || exit 77
zpty shell zsh -f -i
say() { zpty -w shell "$1"; }
say 'PS1= PROMPT_EOL_MARK= ; unsetopt zle_bracketed_paste; stty -echo'
say 'autoload -Uz compinit && compinit -D -u'
say "source $1"
say 'compadd() {
    [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]] && { builtin compadd "$@"; return }
    local -a __found; builtin compadd -A __found "$@"
    (($#__found)) && print -rl -- "offer:"$^__found
    builtin compadd "$@"
}'
say 'show() { compstate[list]=; _main_complete; print -r -- "offers end"; compstate[insert]= }'
say 'zle -C show list-choices show; bindkey "^I" show; print -r -- begin:$((1+1))'
zpty -r -m shell seen '*begin:2*' || exit 1
zpty -n -w shell "$2"$'\t'
zpty -r -m shell seen '*offers end*' || exit 1
print -r -- "$seen" | tr -d '\r' | sed -n 's/.*offer://p' | sort -u
zpty -d shell
