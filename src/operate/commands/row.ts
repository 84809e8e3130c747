/**
 * What a row of the command table says about a verb. `--help`, the words that are taken, completions, the man page and
 * docs/operators.md are read off these rows, so a verb is described once. Rows are data and load nothing but their verb.
 */
import type { VerbContext } from '../verbs.ts';

/**
 * The work of a verb.
 * @param args the words that are no options, in order; an optional one that was not given is not there
 * @returns the exit code
 */
export type Verb<Options> = (args: readonly string[], options: Options, context: VerbContext) => Promise<number>;

/** How the text of a value is read (src/operate/option-values.ts); without it the text is the value. */
export type ValueKind = 'frameNumber' | 'shellWords' | 'variable' | 'milliseconds' | 'count' | 'path';

/** What a shell offers for a word that is being typed. */
export type Completion = 'session' | 'host' | 'file' | 'verb' | readonly string[];

export interface ArgumentRow {
  /** As in a usage line: `<id>` must be there, `[id]` may, `[ids...]` takes all that are left. */
  readonly name: string;
  readonly help: string;
  readonly completion?: Completion;
}

export interface OptionRow {
  /** `--json`, `-f, --follow`, `--socket <path>`. */
  readonly flags: string;
  readonly help: string;
  readonly value?: ValueKind;
  /** The only values there are. */
  readonly choices?: readonly string[];
  readonly completion?: Completion;
}

export interface ExampleRow {
  /** A whole command line. */
  readonly line: string;
  /** What it does, in a few words. */
  readonly what: string;
}

/** What each exit code of the verb means; the codes of all verbs are in exit-codes.ts. */
export type ExitRows = Readonly<Record<number, string>>;

export interface CommandRow {
  /** One line, without capital and full stop. */
  readonly summary: string;
  /** Only where the usage line cannot be made from arguments and options. */
  readonly usage?: string;
  readonly arguments: readonly ArgumentRow[];
  readonly options: readonly OptionRow[];
  /** Whatever the lines about the options do not say. Whole sentences. */
  readonly notes?: string;
  readonly examples: readonly ExampleRow[];
  readonly exits: ExitRows;
  /** Exit code for words that the verb does not know; default 2. */
  readonly usageCode?: number;
  /** Options end at the first argument: the rest is another program's command line. */
  readonly passesThrough?: boolean;
  /** Verbs of a second word. */
  readonly subcommands?: Readonly<Record<string, CommandRow>>;
  /** Not there for a verb that is nothing without its second word. */
  readonly load?: () => Promise<Verb<never>>;
}
