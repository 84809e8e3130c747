/**
 * Which conformance cases cannot be played on Windows, and why. docs/windows.md has the same list for readers; a test
 * holds the two together.
 */
import { type Case, type Generation, generations, isOf } from './cases.ts';
import { knowsScript } from './tools.ts';

const reasons = {
  git: 'needs a Windows build of git, which the npm registry does not have',
  link: 'needs symbolic links, which Wine 8 cannot make and Windows grants to few users',
  special: 'needs a FIFO, a bound socket or a device of POSIX',
  mode: 'is about mode bits, which Windows does not have (spec platform.md §3)',
  socketFile: 'is about the socket file; there is none on Windows',
  signal: 'needs a child that catches, ignores or sends itself a signal; Windows has none',
  halfClose: 'needs half-close, which a pipe does not have (spec modes.md §9)',
  keepChildren: '`-keep-children` is ignored in S and N on Windows (spec platform.md §1)',
  percent: 'its arguments would go through cmd.exe, and that of Wine loses percent signs',
  throughFile: 'Windows reports a path that goes through a file as missing',
  lexical: 'Windows resolves `..` by the text, so a file in the middle of a path is never looked at',
  launcher: 'starts a program through a managed launcher; on Windows there is none (spec generation-n2.md §3.2)',
  sameEverywhere:
    'starts a daemon for one more value of a variable that is read alike on every system; one of them is played',
  nextGeneration: 'needs a method that generation N does not have; it is left out on POSIX as well',
  otherSystem: 'is for another operating system',
} as const;

type Reason = keyof typeof reasons;

const byName: Readonly<Record<string, Reason>> = {
  'socket-mode-0600': 'socketFile',
  'list-unreadable-dir': 'mode',
  'read-unreadable': 'mode',
  'command-not-executable': 'mode',
  'read-error-not-a-directory': 'lexical',
  'validate-error-not-a-directory': 'lexical',
  'tilde-in-error-text': 'throughFile',
  'keep-children': 'keepChildren',
  'args-are-not-a-shell': 'percent',
  'plugins-prune-n': 'nextGeneration',
  'n2-peer-check-off-is-off': 'sameEverywhere',
  'n2-peer-check-yes-is-off': 'sameEverywhere',
  'n2-peer-check-on-is-off': 'sameEverywhere',
  'n2-peer-check-two-is-off': 'sameEverywhere',
  'n2-peer-check-zero-one-is-off': 'sameEverywhere',
  'n2-spawn-launcher-empty-arguments': 'launcher',
  'n2-spawn-does-not-read-the-settings': 'launcher',
  'kw-escalates-n': 'signal',
  'kw-no-escalation': 'signal',
  'kw-default-grace-n': 'signal',
  'kw-negative-grace': 'signal',
  'blocked-request-does-not-block-others': 'signal',
};

/** The reason as a sentence's end, or `undefined` for a case that is played. */
export function whyNotHere(one: Case, generation: Generation): string | undefined {
  const reason = reasonFor(one);
  if (reason === 'nextGeneration' && generation === 'N2') {
    return undefined;
  }
  return reason === undefined ? undefined : reasons[reason];
}

function reasonFor(one: Case): Reason | undefined {
  if (one.platform === 'linux' || one.platform === 'darwin') {
    return 'otherSystem';
  }
  if (byName[one.name] !== undefined) {
    return byName[one.name];
  }
  if (one.script.some((step) => 'half_close' in step)) {
    return 'halfClose';
  }
  const steps = [
    ...(one.before_start ?? []),
    ...(one.fixture ?? []),
    ...one.script.flatMap((step) => step.fixture ?? []),
  ];
  if (one.area.startsWith('git.') || steps.some((step) => 'git' in step)) {
    return 'git';
  }
  if (steps.some((step) => 'symlink' in step)) {
    return 'link';
  }
  if (steps.some((step) => 'fifo' in step || 'fifo_writer' in step || 'unix_socket' in step)) {
    return 'special';
  }
  return scriptsOf(one).every(knowsScript) ? undefined : 'signal';
}

/** What a case has `sh -c` run. */
function scriptsOf(one: Case): string[] {
  const lines: string[] = one.script.flatMap((step) => [step.call ?? step.send ?? []].flat());
  return lines.flatMap((line) => {
    const [, script] = /"command":"sh","args":\["-c",("(?:[^"\\]|\\.)*")/.exec(line) ?? [];
    return script === undefined ? [] : [JSON.parse(script) as string];
  });
}

/** The rows of the table in docs/windows.md: reason, number, names. */
export function notHereRows(cases: readonly Case[]): string[] {
  return Object.values(reasons).flatMap((reason) => {
    const names = cases
      .filter((one) => generations.some((each) => isOf(one, each) && whyNotHere(one, each) === reason))
      .map(({ name }) => `\`${name}\``);
    return names.length === 0 ? [] : [`| ${reason} | ${names.length} | ${names.join(', ')} |`];
  });
}

/** How many cases of a generation there are, and how many of them apply. */
export function countOf(
  cases: readonly Case[],
  generation: Generation,
): { readonly all: number; readonly here: number } {
  const all = cases.filter((one) => isOf(one, generation));
  return { all: all.length, here: all.filter((one) => whyNotHere(one, generation) === undefined).length };
}
