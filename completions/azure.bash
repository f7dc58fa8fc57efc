# bash completion for azure. Words and options come from the program's own help.
_azure() {
  local current=${COMP_WORDS[COMP_CWORD]} words=() word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || words+=("$word")
  done
  [[ ${words[0]} == help ]] && words=("${words[@]:1}")
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" help "${words[@]}" 2>/dev/null | grep -oE -- '--[a-z-]+')" -- "$current")
    return
  fi
  local list
  list=$("${COMP_WORDS[0]}" help "${words[@]}" 2>/dev/null) || return 0
  if [[ $list == *"Usage:"* ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
  fi
  # "help:      vm list  …" and "help:      docker  …": the word after those already typed.
  mapfile -t COMPREPLY < <(compgen -W "$(sed -nE "s/^help:      (${words[*]} )?([a-z]+)( .*)?$/\2/p" <<<"$list")" -- "$current")
}
complete -F _azure azure
