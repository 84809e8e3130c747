/** The command line of the agent (spec agent.md §2). */
import { settingTexts } from './settings.ts';

export type AgentWords =
  | { readonly outcome: 'run'; readonly file: string | undefined }
  | { readonly outcome: 'version' | 'help' }
  | { readonly outcome: 'failed'; readonly message: string };

export function parseAgentWords(words: readonly string[]): AgentWords {
  let file: string | undefined;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    const [name, value] = splitAtEquals(word);
    switch (name) {
      case '-h':
      case '--help':
        return { outcome: 'help' };
      case '-V':
      case '--version':
        return { outcome: 'version' };
      case '-c':
      case '--config': {
        file = value ?? words[++at];
        if (file === undefined || file === '') {
          return failed(`Option ${name} needs a file`);
        }
        break;
      }
      default:
        return failed(`Unknown option: ${word}`);
    }
  }
  return { outcome: 'run', file };
}

/** Only `--config` takes its value that way. */
function splitAtEquals(word: string): readonly [name: string, value: string | undefined] {
  return word.startsWith('--config=') ? ['--config', word.slice('--config='.length)] : [word, undefined];
}

function failed(message: string): AgentWords {
  return { outcome: 'failed', message: `${message}\nTry --help` };
}

export function agentUsage(programName: string): string {
  const width = Math.max(...settingTexts.map(([name]) => name.length));
  const variableWidth = Math.max(...settingTexts.map(([, variable]) => variable.length));
  const lines = settingTexts.map(
    ([name, variable, shown]) => `  ${name.padEnd(width)}  ${variable.padEnd(variableWidth)}  ${shown}`,
  );
  return [
    `Usage: ${programName} [--config <file>] [--help] [--version]`,
    '',
    'Asks a server for instructions, runs sessions of the agent CLI on this host, and sends what they write, signed.',
    '',
    '  -c, --config <file>  settings, one JSON object (default: config.json in the working folder)',
    '  -h, --help           this text',
    '  -V, --version        the version',
    '',
    'Settings, with their environment variables, which beat the file, and their defaults:',
    ...lines,
    '',
  ].join('\n');
}
