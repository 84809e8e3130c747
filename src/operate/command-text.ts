/** The command of a session for a screen: whoever looks over a shoulder is not to read a secret there (spec extensions.md §2.1). */

const hidden = '[hidden]';
/** What a word is called that has a secret behind it. */
const secretName = /(?:token|secret|passw(?:or)?d|passphrase|api[-_]?key|access[-_]?key|credential|authorization)s?$/i;

/** Program and arguments as one text; the values of options and variables that are named like secrets are left out. */
export function commandText(command: string, args: readonly string[]): string {
  let hidesNext = false;
  const words = args.map((word) => {
    if (hidesNext && !word.startsWith('-')) {
      hidesNext = false;
      return hidden;
    }
    hidesNext = word.startsWith('-') && secretName.test(word);
    const equals = word.indexOf('=');
    return equals > 0 && secretName.test(word.slice(0, equals))
      ? `${word.slice(0, equals + 1)}${hidden}`
      : withoutCredentials(word);
  });
  return [command, ...words].map(spelled).join(' ');
}

/** `https://user:password@host`, and what goes before a token in a header. */
function withoutCredentials(word: string): string {
  return word
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^/?#@\s]+@/gi, `$1${hidden}@`)
    .replace(/\b(bearer|basic)\s+[\w.+/=~-]{4,}/gi, `$1 ${hidden}`);
}

function spelled(word: string): string {
  return word === '' || /[\s'"\\]/.test(word) ? JSON.stringify(word) : word;
}
