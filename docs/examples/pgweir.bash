# bash completion for pgweir
_pgweir()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} options
	case ${COMP_WORDS[1]-} in
	setup) options="--apply --admin --role --no-trigger --publication --help" ;;
	doctor) options="--quiet --help" ;;
	*) options="--check-config --verbose --version --help" ;;
	esac
	[[ $prev == --admin || $prev == --role ]] && return
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -f -X '!*.ini' -- "$cur"; compgen -d -S / -- "$cur")
	((COMP_CWORD == 1)) && mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "setup doctor" -- "$cur")
	compopt -o filenames -o nospace 2>/dev/null
	return 0
}
complete -F _pgweir pgweir
