/** How each shell asks for suggestions and is told them. The scripts know nothing about verbs: they ask at each key. */
import { printable } from '../../base/printable.ts';
import type { Suggestions } from './suggest.ts';

export const shells = ['bash', 'zsh', 'fish', 'powershell'] as const;
export type Shell = (typeof shells)[number];

/** Stands for the shell's own file names. */
const filesWord = ':files';

const scripts: Readonly<Record<Shell, string>> = {
  // Bash breaks words at colons and equal signs, so it gives the whole line and gets what comes behind the last of them.
  bash: `_holdfast() {
  local IFS=$'\\n'
  COMPREPLY=($("\${COMP_WORDS[0]}" completion bash -- "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
  if [ "\${COMPREPLY[0]}" = '${filesWord}' ]; then
    compopt -o filenames
    COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
  fi
}
complete -F _holdfast holdfast
`,
  zsh: `#compdef holdfast
_holdfast() {
  local -a lines values
  lines=("\${(@f)$("\${words[1]}" completion zsh -- "\${(@Q)words[1,CURRENT]}" 2>/dev/null)}")
  if [[ "\${lines[1]}" == '${filesWord}' ]]; then
    _files
    return
  fi
  values=("\${(@)lines%%$'\\t'*}")
  lines=("\${(@)lines/$'\\t'/  }")
  [[ -n "\${values[1]}" ]] && compadd -l -d lines -a values
}
if [[ "\${funcstack[1]}" == _holdfast ]]; then
  _holdfast "$@"
else
  compdef _holdfast holdfast
fi
`,
  fish: `function __holdfast_suggest
  set -l words (commandline -opc) (commandline -ct)
  set -l lines ($words[1] completion fish -- $words 2>/dev/null)
  if test "$lines[1]" = '${filesWord}'
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $lines
  end
end
complete -c holdfast -f -a '(__holdfast_suggest)'
`,
  powershell: `Register-ArgumentCompleter -Native -CommandName holdfast -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | ForEach-Object { $_.ToString() })
  if ($wordToComplete -eq '') { $words += '' }
  & $words[0] completion powershell '--' @words 2>$null | Where-Object { $_ -ne '${filesWord}' } | ForEach-Object {
    $value, $help = $_ -split "\`t", 2
    if (-not $help) { $help = $value }
    [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $help)
  }
}
`,
};

export function scriptFor(shell: Shell): string {
  return scripts[shell];
}

/** The words of the line as the shell has given them, the program's name first. */
export function wordsOf(shell: Shell, given: readonly string[]): readonly string[] {
  return shell === 'bash' ? wordsOfLine(given[0] ?? '') : given;
}

/** One suggestion a line, spelled so that the shell takes it as one word. */
export function answerFor(shell: Shell, suggestions: Suggestions, current: string): string {
  if (suggestions === 'files') {
    return `${filesWord}\n`;
  }
  const before = shell === 'bash' ? (/^.*[:=]/s.exec(current)?.[0].length ?? 0) : 0;
  return suggestions
    .map(({ value, help }) => {
      switch (shell) {
        case 'bash':
          return value.slice(before).replace(/[^\w@%+:,./=-]/g, '\\$&');
        case 'powershell':
          return `${/^[\w@%+:,./=-]+$/.test(value) ? value : `'${value.replaceAll("'", "''")}'`}\t${printable(help)}`;
        default:
          return `${value}\t${printable(help)}`;
      }
    })
    .map((line) => `${line}\n`)
    .join('');
}

/** As a shell splits; the last word may be empty or within quotes. */
function wordsOfLine(line: string): string[] {
  const words: string[] = [''];
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const character = line.charAt(at);
    const last = words.length - 1;
    if (character === '\\' && quote !== "'") {
      at++;
      words[last] += line.charAt(at);
    } else if (quote !== '' ? character === quote : character === '"' || character === "'") {
      quote = quote === '' ? character : '';
    } else if (quote === '' && /\s/.test(character)) {
      if (words[last] !== '' || last === 0) {
        words.push('');
      }
    } else {
      words[last] += character;
    }
  }
  return words;
}
